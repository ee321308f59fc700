package stomp_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// An ACK or NACK in a transaction counts when that is committed, with or without SENDs
// in it, and never if it is aborted or its connection is lost before: until then it makes
// no room, and what it is about is sent again to whoever comes next.
func TestAcksInTransactions(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "durable:true\n", "group:workers\n"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			consumer := func() *client {
				c := s.alice("1.2", "x")
				c.subscribe("ack:client-individual\nprefetch-count:1\n" + kind)
				return c
			}
			c, p := consumer(), s.alice("1.2", "p")
			inside := func(command, id, send string) {
				t.Helper()
				c.say("BEGIN\ntransaction:t\n\n\x00%s%s\nid:%s\ntransaction:t\nreceipt:inside\n\n\x00", send, command, id)
				c.receipt("inside")
			}
			end := func(how string) {
				t.Helper()
				c.say("%s\ntransaction:t\nreceipt:end\n\n\x00", how)
				c.receipt("end")
			}
			p.publish(0, 1, 2, 3)
			f := c.got(0, false)
			for n, send := range []string{"", "SEND\ndestination:/team/b\ntransaction:t\n\nx\x00"} {
				inside("ACK", f.Text("ack"), send)
				c.nothing()
				end("ABORT")
				c.nothing()
				inside("NACK", f.Text("ack"), send)
				c.nothing()
				end("COMMIT")
				f = c.got(n, true)
				inside("ACK", f.Text("ack"), send)
				c.nothing()
				end("COMMIT")
				f = c.got(n+1, false)
			}
			if kind == "" {
				return // nothing of it outlives its connection
			}
			for _, lost := range []string{"", "ABORT\ntransaction:t\n\n\x00"} {
				inside("ACK", f.Text("ack"), "")
				c.say(lost + "DISCONNECT\nreceipt:bye\n\n\x00")
				c.receipt("bye")
				c = consumer()
				f = c.got(2, true)
			}
			c.say(fmt.Sprintf("BEGIN\ntransaction:t\n\n\x00ACK\nid:%s\ntransaction:t\n\n\x00COMMIT\ntransaction:t\n\n\x00DISCONNECT\nreceipt:bye\n\n\x00", f.Text("ack")))
			c.receipt("bye")
			c = consumer()
			c.got(3, false)
		})
	}
}

// What a client sends behind a COMMIT is stored behind it, also where that waits for the
// acknowledgements of another to be stored.
func TestCommitsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.alice("1.2", "x")
	c.subscribe("ack:client-individual\ndurable:true\n")
	for range 10 {
		c.publish(1, 2)
		var all strings.Builder
		for _, name := range []string{"a", "b"} {
			f := c.the(frame.Message)
			fmt.Fprintf(&all, "BEGIN\ntransaction:%s\n\n\x00SEND\ndestination:/open/order\ntransaction:%[1]s\n\n\"%[1]s\"\x00"+
				"ACK\nid:%s\ntransaction:%[1]s\n\n\x00COMMIT\ntransaction:%[1]s\n\n\x00", name, f.Text("ack"))
		}
		c.say("%s", all.String()+"SEND\ndestination:/open/order\n\n\"c\"\x00SEND\ndestination:/open/order\nreceipt:all\n\n\"d\"\x00")
		c.receipt("all")
	}
	reader := s.alice("1.2", "reader")
	reader.say("SUBSCRIBE\nid:s\ndestination:/open/order\nafter:0\n\n\x00")
	for range 10 {
		for _, name := range []string{"a", "b", "c", "d"} {
			reader.message(strconv.Quote(name))
		}
	}
}

// What clients say about messages that they refuse counts for what their transactions may
// take, and no more of it is kept than will be told. It runs by itself: it looks at the heap.
func TestRefusalsInTransactionsAreBounded(t *testing.T) {
	s := newSite(t)
	nacks := func(c *client, many, reason int) {
		c.say("SUBSCRIBE\nid:s\ndestination:/open/refused\nack:client\n\n\x00UNSUBSCRIBE\nid:s\nreceipt:u\n\n\x00")
		c.receipt("u")
		nack := strings.Repeat("NACK\nid:0-1\ntransaction:%[1]d\nreason:"+strings.Repeat("x", reason)+"\n\n\x00", many)
		for n := range 16 {
			c.say("BEGIN\ntransaction:%[1]d\n\n\x00"+nack, n)
		}
		c.say("SEND\ndestination:/open/refused\nreceipt:all\n\n1\x00")
	}
	before := heap()
	c := s.dial().connected("1.2")
	nacks(c, 100, 8000)
	c.receipt("all")
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d MB more for 1600 NACKs of 12 MB", grown>>20)
	}
	s.configure(strings.Replace(configuration, `max_message = "2MiB"`, `max_message = "64KiB"`, 1))
	s.restart()
	c = s.dial().connected("1.2")
	nacks(c, 125, 512)
	c.refused("1048576 bytes together")
}

// A transaction may acknowledge messages of several groups, as others do at the same time.
// One that is refused acknowledges nothing: the messages are for whoever is there.
func TestTransactionsOfGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	names := []string{"/open/g", "/open/h"}
	both := func(id string) *client {
		c := s.alice("1.2", id)
		for i, name := range names {
			c.say("SUBSCRIBE\nid:%d\ndestination:%s\ngroup:workers\nprefetch-count:1\nack:client-individual\nreceipt:s\n\n\x00", i, name)
			c.receipt("s")
		}
		return c
	}
	p := s.alice("1.2", "p")
	publish := func(n int) {
		for _, name := range names {
			p.say("SEND\ndestination:%s\nreceipt:p\n\n%d\x00", name, n)
			p.receipt("p")
		}
	}
	commit := func(c *client, to string, jobs ...frame.Frame) {
		all := "BEGIN\ntransaction:t\n\n\x00SEND\ndestination:" + to + "\ntransaction:t\n\n\"out\"\x00"
		for _, f := range jobs {
			all += "ACK\nid:" + f.Text("ack") + "\ntransaction:t\n\n\x00"
		}
		c.say("%s", all+"COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
	}
	c, d := both("c"), both("d")
	const rounds = 20
	for n := range rounds {
		publish(n)
		publish(n)
		a, b, e, f := c.the(frame.Message), c.the(frame.Message), d.the(frame.Message), d.the(frame.Message)
		commit(c, "/open/out", a, b)
		commit(d, "/open/out", f, e)
		c.receipt("c")
		d.receipt("c")
	}
	publish(rounds)
	jobs := append([]frame.Frame{}, c.the(frame.Message))
	d.Close()
	jobs = append(jobs, c.the(frame.Message))
	commit(c, "/nobody/may", jobs...)
	c.refused("not allowed")
	d = both("d")
	for range names {
		if f := d.the(frame.Message); f.Text("redelivered") != "true" || string(f.Body) != strconv.Itoa(rounds) {
			t.Errorf("%q %s", f.Headers, f.Body)
		}
	}
	d.nothing()
	d.say("SUBSCRIBE\nid:out\ndestination:/open/out\nafter:0\n\n\x00")
	for range 2 * rounds {
		d.message(`"out"`)
	}
	d.nothing()
}

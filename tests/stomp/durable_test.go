package stomp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// alice connects as the user of that name.
func (s *site) alice(version, client string) *client {
	s.t.Helper()
	return s.login("alice", version, client)
}

func (s *site) login(user, version, client string) *client {
	s.t.Helper()
	c := s.dial()
	c.say("CONNECT\naccept-version:%s\nhost:x\nlogin:%s\npasscode:demo\nclient-id:%s\n\n\x00", version, user, client)
	if got := c.hear(); got.Command != frame.Connected {
		s.t.Fatalf("not connected: %s %q", got.Command, got.Headers)
	}
	c.decoder.Version = map[string]frame.Version{"1.0": frame.V10, "1.1": frame.V11, "1.2": frame.V12}[version]
	return c
}

// subscribe subscribes to /team/a with more headers, each with its line's end.
func (c *client) subscribe(more string) {
	c.t.Helper()
	c.say("SUBSCRIBE\nid:s\ndestination:/team/a\nreceipt:subscribed\n%s\n\x00", more)
	c.receipt("subscribed")
}

// publish publishes to /team/a, and waits for the receipts.
func (c *client) publish(bodies ...any) {
	c.t.Helper()
	for _, body := range bodies {
		c.say("SEND\ndestination:/team/a\ncontent-type:text/plain\nreceipt:published\n\n%v\x00", body)
		c.receipt("published")
	}
}

// got hears a message with that body, and whether it may have come before.
func (c *client) got(body any, again bool) frame.Frame {
	c.t.Helper()
	f := c.message(fmt.Sprint(body))
	if r, _ := f.Get("redelivered"); string(r) == "true" != again {
		c.t.Fatalf("%v is redelivered:%s, want %v", body, r, again)
	}
	return f
}

// ack acknowledges messages, by ack or NACK, in 1.2.
func (c *client) ack(command string, messages ...frame.Frame) {
	c.t.Helper()
	for _, f := range messages {
		c.say("%s\nid:%s\nreceipt:acked\n\n\x00", command, f.Text("ack"))
		c.receipt("acked")
	}
}

// bye disconnects in good order.
func (c *client) bye() {
	c.t.Helper()
	c.say("DISCONNECT\nreceipt:bye\n\n\x00")
	c.receipt("bye")
	c.Close()
}

// What a durable subscription has not acknowledged comes again, in order and before
// what is newer, whatever ended the connection: in each mode.
func TestDurable(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name string
		end  func(s *site, c *client)
	}{
		{"disconnect", func(_ *site, c *client) { c.bye() }},
		{"lost", func(_ *site, c *client) { c.Close() }},
		{"restart", func(s *site, _ *client) { s.restart() }},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c := s.alice("1.2", "x")
			c.subscribe("ack:client-individual\ndurable:true\n")
			c.publish(1, 2, 3, 4, 5)
			var all []frame.Frame
			for n := range 5 {
				all = append(all, c.got(n+1, false))
			}
			c.ack("ACK", all[0], all[2])
			how.end(s, c)
			s.alice("1.2", "y").publish(6)

			c = s.alice("1.2", "x")
			c.subscribe("ack:client\ndurable:true\n")
			c.publish(7)
			c.got(2, true)
			four := c.got(4, true)
			c.got(5, true)
			c.got(6, false)
			c.ack("ACK", four)
			c.got(7, false)
			how.end(s, c)

			c = s.alice("1.2", "x")
			c.subscribe("durable:true\n")
			c.got(5, true)
			c.got(6, true)
			c.got(7, true)
			c.nothing()
			how.end(s, c)

			c = s.alice("1.2", "x")
			c.subscribe("durable:true\n")
			c.publish(8)
			c.got(8, false)
		})
	}
}

// Who says durable in words of other brokers is understood, and who says so in
// UNSUBSCRIBE has it ended.
func TestDurableWords(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"durable:true\n", "durable:true\nauto-delete:false\n", "persistent:true\n", "activemq.subscriptionName:mine\n"} {
		s := newSite(t)
		p := s.alice("1.1", "p")
		c := s.alice("1.1", "x")
		c.subscribe(words)
		c.bye()
		p.publish("kept")
		c = s.alice("1.1", "x")
		c.subscribe(words)
		c.got("kept", false)
		c.say("UNSUBSCRIBE\nid:s\nreceipt:u\n\n\x00")
		c.receipt("u")
		p.publish("kept, too")
		c.subscribe(words)
		c.got("kept, too", false)
		c.say("UNSUBSCRIBE\nid:s\nreceipt:u\n%s\n\x00", words)
		c.receipt("u")
		p.publish("not kept")
		c.subscribe(words)
		p.publish("new")
		c.got("new", false)
		c.bye()

		c = s.alice("1.1", "x")
		c.say("UNSUBSCRIBE\nid:s\nreceipt:u\n%s\n\x00", words) // it is not there, but stored
		c.receipt("u")
		p.publish("not kept")
		c.subscribe(words)
		p.publish("newer")
		c.got("newer", false)
	}
	s := newSite(t)
	c := s.alice("1.2", "x")
	c.subscribe("durable:true\nauto-delete:true\n")
	c.bye()
	s.alice("1.2", "p").publish("not kept")
	c = s.alice("1.2", "x")
	c.subscribe("durable:true\n")
	c.nothing()
}

// A durable subscription belongs to its user and client-id, and to one connection at
// a time: the newest.
func TestDurableOwner(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:s\ndestination:/open/a\ndurable:true\nreceipt:r\n\n\x00")
	if f := c.refused("log in first"); f.Text("receipt-id") != "r" || f.Text("code") != "unauthorized" {
		t.Errorf("%q", f.Headers)
	}
	var x, y *client
	for range 6 { // on any two of the loops
		x, y = s.alice("1.2", "x"), s.alice("1.2", "y")
		x.subscribe("ack:client-individual\ndurable:true\n")
		y.subscribe("ack:client-individual\ndurable:true\n")
		y.publish(1)
		y.ack("ACK", y.got(1, false))
		one := x.got(1, false)
		z := s.alice("1.2", "x")
		z.subscribe("ack:client-individual\ndurable:true\n")
		if f := x.refused("another connection"); f.Text("code") != "conflict" {
			t.Errorf("%q", f.Headers)
		}
		again := z.got(1, true)
		if again.Text("message-id") != one.Text("message-id") {
			t.Errorf("%q is not %q", again.Headers, one.Headers)
		}
		z.ack("ACK", again)
		z.bye()
		y.bye()
	}
	x = s.alice("1.2", "x")
	x.subscribe("durable:true\n")
	for range 6 { // on whichever loop
		c = s.alice("1.2", "x")
		c.say("SUBSCRIBE\nid:s\ndestination:/team/b\ndurable:true\nreceipt:r\n\n\x00")
		if f := c.refused("one of /team/a"); f.Text("receipt-id") != "r" || f.Text("code") != "conflict" {
			t.Errorf("%q", f.Headers)
		}
	}
	x.publish("here") // and who has it was not disturbed
	x.got("here", false)
}

// A new durable subscription begins behind "after"; one that is there, where it
// stands; and its window is filled again by each acknowledgement.
func TestDurableStartAndWindow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.alice("1.2", "x")
	c.publish(1, 2, 3, 4)
	c.subscribe("ack:client-individual\ndurable:true\nafter:0\nprefetch-count:2\n")
	one, two := c.got(1, false), c.got(2, false)
	c.nothing()
	c.ack("ACK", two)
	c.nothing() // the window begins with what is not acknowledged
	c.ack("ACK", one)
	c.got(3, false)
	c.bye()
	c = s.alice("1.2", "x")
	c.subscribe("ack:client-individual\ndurable:true\nafter:0\n")
	c.got(3, true)
	c.got(4, true) // was sent, too
	c.nothing()
}

// Another user's durable subscriptions and groups are others, whatever they are called.
func TestDurableOfOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("users", demoUser+strings.Replace(demoUser, "alice", "bob", 1))
	must(t, s.Reload(t.Context()))
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		alice, bob := s.login("alice", "1.2", "x"), s.login("bob", "1.2", "x")
		alice.subscribe("ack:client-individual\n" + kind)
		alice.publish("secret")
		alice.got("secret", false)
		bob.subscribe("ack:client-individual\n" + kind)
		bob.nothing()
		bob.publish("both")
		alice.got("both", false)
		bob.ack("ACK", bob.got("both", false))
		bob.say("UNSUBSCRIBE\nid:s\ndurable:true\nreceipt:u\n\n\x00")
		bob.receipt("u")
		alice.nothing()
		alice.bye()
		alice = s.login("alice", "1.2", "x")
		alice.subscribe("ack:client-individual\n" + kind)
		alice.got("secret", true)
		alice.got("both", true)
		alice.bye()
	}
}

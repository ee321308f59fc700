package stomp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// socketOfAlice connects by WebSocket as alice.
func (s *site) socketOfAlice() *client {
	s.t.Helper()
	c := s.webSocket(100)
	c.say("CONNECT\naccept-version:1.2\nhost:x\nlogin:alice\npasscode:demo\nclient-id:w\n\n\x00")
	if got := c.hear(); got.Command != frame.Connected {
		s.t.Fatalf("not connected: %s %q", got.Command, got.Headers)
	}
	return c
}

// Over WebSocket as over TCP: a durable subscription and a group, with text and with
// what is none.
func TestDurableOverWebSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		c := s.socketOfAlice()
		c.subscribe("ack:client-individual\n" + kind)
		p := s.alice("1.1", "p")
		p.publish("one", "\xff\xfe", strings.Repeat("x", 70_000))
		c.got("one", false)
		c.ack("ACK", c.got("\xff\xfe", false))
		c.got(strings.Repeat("x", 70_000), false)
		c.Close()
		for range 2 { // by either way
			c = s.alice("1.2", "w")
			c.subscribe("ack:client-individual\n" + kind)
			c.got("one", true)
			c.got(strings.Repeat("x", 70_000), true)
			c.bye()
			c = s.socketOfAlice()
			c.subscribe("ack:client-individual\n" + kind)
			c.got("one", true)
			c.got(strings.Repeat("x", 70_000), true)
			c.nothing()
			c.bye()
		}
	}
}

// A right that has ended ends the connection, and what has come meanwhile waits for
// its return.
func TestDurableRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	durable, worker := s.alice("1.2", "x"), s.member("")
	durable.subscribe("ack:client-individual\ndurable:true\n")
	p := s.alice("1.2", "p")
	p.publish(1)
	durable.got(1, false)
	worker.got(1, false)
	with := configuration
	s.configure(strings.Replace(with, "\"/team/**\"\nsubscribe = [\"@authenticated\"]", "\"/team/**\"\nsubscribe = []", 1))
	must(t, s.Reload(t.Context()))
	for _, c := range []*client{durable, worker} {
		if f := c.refused("not allowed"); f.Text("code") != "forbidden" {
			t.Errorf("%q", f.Headers)
		}
	}
	p.publish(2)
	for _, kind := range []string{"durable:true\n", "group:workers\n"} {
		c := s.alice("1.2", "x")
		c.say("SUBSCRIBE\nid:s\ndestination:/team/a\nack:client-individual\n%s\n\x00", kind)
		c.refused("not allowed")
	}
	s.configure(with)
	must(t, s.Reload(t.Context()))
	durable, worker = s.alice("1.2", "x"), s.member("")
	durable.subscribe("ack:client-individual\ndurable:true\n")
	for _, c := range []*client{durable, worker} {
		c.got(1, true)
		c.got(2, false)
	}
}

// What nobody comes for is forgotten after session.durable_ttl.
func TestDurableExpires(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		c := s.alice("1.2", "x")
		c.subscribe("ack:client-individual\n" + kind)
		c.bye()
	}
	s.advance(29 * 24 * time.Hour)
	p := s.alice("1.2", "p")
	p.publish("kept")
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		c := s.alice("1.2", "x")
		c.subscribe("ack:client-individual\n" + kind)
		c.got("kept", false)
		c.bye()
	}
	s.restart() // what the clients' ends have stored has the time of before
	s.advance(31 * 24 * time.Hour)
	p = s.alice("1.2", "p")
	p.publish("not kept")
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		c := s.alice("1.2", "x")
		c.subscribe("ack:client-individual\n" + kind)
		c.nothing()
		c.bye()
	}
}

// A client that reads nothing has what it cannot take wait in the log, and nobody
// else.
func TestDurableSlowReader(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		slow, quick := s.alice("1.2", "x"), s.alice("1.2", "quick")
		slow.subscribe("ack:client-individual\n" + kind)
		quick.subscribe("ack:client-individual\ndurable:true\n")
		pad := strings.Repeat("x", 200_000)
		for range 60 { // three times what the window has, and more than the socket
			quick.publish(pad)
			quick.ack("ACK", quick.got(pad, false))
		}
		for range 60 {
			slow.ack("ACK", slow.got(pad, false))
		}
		slow.nothing()
		quick.say("UNSUBSCRIBE\nid:s\ndurable:true\nreceipt:u\n\n\x00")
		quick.receipt("u")
		slow.bye()
	}
}

// An ACK in a transaction counts if that is committed.
func TestDurableTransaction(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.alice("1.2", "x")
	c.subscribe("ack:client-individual\ndurable:true\n")
	c.publish(1, 2)
	one, two := c.got(1, false), c.got(2, false)
	c.say("BEGIN\ntransaction:a\n\n\x00ACK\nid:%s\ntransaction:a\n\n\x00ABORT\ntransaction:a\n\n\x00", one.Text("ack"))
	c.say("BEGIN\ntransaction:b\n\n\x00ACK\nid:%s\ntransaction:b\n\n\x00", two.Text("ack"))
	c.say("SEND\ndestination:/team/b\ntransaction:b\n\nx\x00COMMIT\ntransaction:b\nreceipt:c\n\n\x00")
	c.receipt("c")
	c.bye()
	c = s.alice("1.2", "x")
	c.subscribe("ack:client-individual\ndurable:true\n")
	c.got(1, true)
	c.nothing()
}

// A user has so many durable subscriptions and groups, counted over restarts, and no
// more until some have ended or expired.
func TestDurableLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(strings.Replace(configuration, "max_deliveries = 3", "max_channels = 3", 1))
	s.restart()
	subscribe := func(name, end string) *client {
		c := s.alice("1.2", "x")
		c.say("SUBSCRIBE\nid:%s\ndestination:/team/a\nack:client-individual\n%s\nreceipt:r\n\n\x00", name, end)
		return c
	}
	for _, name := range []string{"a", "b"} {
		c := subscribe(name, "durable:true")
		c.receipt("r")
		c.bye()
	}
	c := subscribe("c", "group:g")
	c.receipt("r")
	for _, end := range []string{"durable:true", "group:other"} {
		if f := subscribe("d", end).refused("max_channels"); f.Text("code") != "too_large" || f.Text("receipt-id") != "r" {
			t.Errorf("%q", f.Headers)
		}
	}
	for range 3 { // what is not there makes no room
		c.say("UNSUBSCRIBE\nid:none\ndurable:true\nreceipt:u\n\n\x00")
		c.receipt("u")
	}
	subscribe("d", "durable:true").refused("max_channels")
	c.say("UNSUBSCRIBE\nid:c\ndurable:true\nreceipt:u\n\n\x00")
	c.receipt("u")
	subscribe("d", "durable:true").receipt("r")
	s.restart()
	subscribe("a", "durable:true").receipt("r")
	subscribe("e", "durable:true").refused("max_channels")
	s.advance(31 * 24 * time.Hour)
	subscribe("e", "durable:true").receipt("r")
}

// What retention has removed is told with the next message, until that is
// acknowledged.
func TestDurableGap(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		subscribe := func() *client {
			c := s.alice("1.2", "x")
			c.say("SUBSCRIBE\nid:s\ndestination:/brief/a\nack:client-individual\nreceipt:s\n%s\n\x00", kind)
			c.receipt("s")
			return c
		}
		publish := func(body string) {
			c := s.alice("1.2", "p")
			c.say("SEND\ndestination:/brief/a\ncontent-type:text/plain\nreceipt:r\n\n%s\x00", body)
			c.receipt("r")
		}
		subscribe().bye()
		publish("gone")
		publish("gone")
		s.advance(2 * time.Hour)
		publish("here")
		var gap string
		for life := range 3 {
			c := subscribe()
			f := c.got("here", life > 0)
			if gap = f.Text("gap"); !strings.HasSuffix(gap, " expired") {
				t.Errorf("%q", f.Headers)
			}
			if life == 2 {
				c.ack("ACK", f)
			}
			c.bye()
		}
		publish("next")
		c := subscribe()
		if f := c.got("next", false); f.Text("gap") != "" {
			t.Errorf("told again: %q", f.Headers)
		}
		c.bye()
	}
}

// A durable subscription or a group has a place in its application while it has a
// connection. What waits on the disk alone has none, as a named session that was away for
// long has none.
func TestPlacesInApplications(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(configuration + "[app.team.quota]\nsessions = 1\n")
	s.restart()
	for _, kind := range []string{"durable:true\n", "group:g\n"} {
		c := s.alice("1.2", "x")
		c.subscribe("ack:client-individual\n" + kind)
		other := s.alice("1.2", "other")
		other.say("SUBSCRIBE\nid:s\ndestination:/team/b\n\n\x00")
		other.refused("app.team.quota.sessions")
		c.bye()
		other = s.alice("1.2", "other")
		other.subscribe("")
		other.bye()
		c = s.alice("1.2", "x")
		c.subscribe("ack:client-individual\n" + kind)
		c.bye()
	}
}

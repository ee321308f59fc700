package stomp_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// Every frame but CONNECT may ask for a receipt, and gets one, with the header as it
// was and no body.
func TestReceipts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range versions {
		c := s.dial()
		c.say("CONNECT\naccept-version:%s\nreceipt:connect\n\n\x00", version)
		if f := c.hear(); f.Command != frame.Connected || f.Text("session") == "" {
			t.Fatalf("%s %q", f.Command, f.Headers)
		}
		name := "/open/" + version
		ask := func(text string) {
			c.say(text+"receipt:%s\n\n\x00", text[:3])
			if f := c.the(frame.Receipt); f.Text("receipt-id") != text[:3] || len(f.Body) > 0 {
				t.Errorf("%s: %q %q", version, f.Headers, f.Body)
			}
		}
		ask("SUBSCRIBE\nid:1\nack:client\ndestination:" + name + "\n")
		ask("SEND\ndestination:" + name + "\n")
		one := c.message("")
		ask("BEGIN\ntransaction:t\n")
		ask("SEND\ntransaction:t\ndestination:" + name + "\n")
		ask("ACK\ntransaction:t\n" + acked(version, one))
		ask("COMMIT\ntransaction:t\n")
		two := c.message("")
		ask("BEGIN\ntransaction:t\n")
		ask("ABORT\ntransaction:t\n")
		if version != "1.0" {
			ask("NACK\n" + acked(version, two))
			two = c.message("")
		}
		ask("ACK\n" + acked(version, two))
		ask("UNSUBSCRIBE\nid:1\n")
		c.say("DISCONNECT\nreceipt:d\n\n\x00")
		c.receipt("d")
		if f, err := c.next(); err != io.EOF {
			t.Errorf("%q, %v", f.Headers, err)
		}
	}
}

// What is peculiar to 1.0: a subscription may go by its destination, a SUBSCRIBE may
// have a body, which nobody reads, and an ACK has nothing but the message's id.
func TestVersion10(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.dial()
	c.say("CONNECT\nlogin: alice\npasscode: demo\n\n\x00")
	if f := c.hear(); f.Command != frame.Connected || f.Text("session") == "" {
		t.Fatalf("%s %q", f.Command, f.Headers)
	}
	c.decoder.Version = frame.V10
	c.say("SUBSCRIBE\ndestination: /team/a\nack: client\nprefetch-count: 1\nreceipt:s\n\nbody\x00")
	c.receipt("s")
	c.say("SEND\ndestination: /team/a\n\n1\x00SEND\ndestination: /team/a\n\n2\x00")
	f := c.message("1")
	for _, name := range []string{"subscription", "ack"} {
		if v, ok := f.Get(name); ok {
			t.Errorf("%s is %q", name, v)
		}
	}
	c.nothing()
	c.say("ACK\nmessage-id: %s\n\n\x00", f.Text("message-id"))
	f = c.message("2")
	c.say("SUBSCRIBE\ndestination:/team/b\nid:b\n\n\x00SEND\ndestination:/team/b\n\n3\x00")
	if f := c.message("3"); f.Text("subscription") != "b" {
		t.Errorf("%q", f.Headers)
	}
	c.say("UNSUBSCRIBE\ndestination: /team/a\n\n\x00SEND\ndestination:/team/a\n\n4\x00")
	c.nothing()
	c.say("NACK\nmessage-id:%s\n\n\x00", f.Text("message-id")) // there is none in 1.0, but it does no harm
	c.say("SUBSCRIBE\ndestination:/team/a\nack:client-individual\n\n\x00")
	c.refused("client-individual")
}

// After UNSUBSCRIBE nothing comes, and the id is free; two subscriptions of one
// channel are told apart.
func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range versions {
		c := s.dial().connected(version)
		name := "/open/" + version
		c.say("SUBSCRIBE\nid:1\ndestination:%s\n\n\x00SUBSCRIBE\nid:2\ndestination:%[1]s\nreceipt:s\n\n\x00", name)
		c.receipt("s")
		c.say("SEND\ndestination:%s\n\n1\x00", name)
		a, b := c.message("1"), c.message("1")
		if a.Text("subscription") == b.Text("subscription") || a.Text("message-id") != b.Text("message-id") {
			t.Errorf("%q and %q", a.Headers, b.Headers)
		}
		c.say("UNSUBSCRIBE\nid:1\nreceipt:u\n\n\x00SEND\ndestination:%s\n\n2\x00", name)
		c.receipt("u")
		if f := c.message("2"); f.Text("subscription") != "2" {
			t.Errorf("%q", f.Headers)
		}
		c.nothing()
		c.say("SUBSCRIBE\nid:1\ndestination:/open/other\nreceipt:s\n\n\x00")
		c.receipt("s")
	}
}

// In the mode client a NACK is for all before it as well, in client-individual for
// one; and what is not acknowledged when the connection ends was not consumed.
func TestCumulativeNack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range []string{"1.1", "1.2"} {
		for mode, again := range map[string][]int{"client": {0, 1}, "client-individual": {1}} {
			c := s.dial().connected(version)
			name := "/open/" + version + mode
			c.say("SUBSCRIBE\nid:1\nack:%s\ndestination:%s\nreceipt:s\n\n\x00", mode, name)
			c.receipt("s")
			var got []frame.Frame
			for n := range 3 {
				c.say("SEND\ndestination:%s\n\n%d\x00", name, n)
				got = append(got, c.message(fmt.Sprint(n)))
			}
			c.say("NACK\n%s\n\x00", acked(version, got[1]))
			for _, n := range again {
				if f := c.message(fmt.Sprint(n)); f.Text("redelivered") != "true" || f.Text("message-id") != got[n].Text("message-id") {
					t.Errorf("%s %s: %q", version, mode, f.Headers)
				}
			}
			c.nothing()
		}
	}
}

// Sessions and messages have names of their own.
func TestUniqueNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	seen := map[string]bool{}
	unique := func(what string) {
		if what == "" || seen[what] {
			t.Errorf("%q is not unique", what)
		}
		seen[what] = true
	}
	for range 20 {
		c := s.dial()
		c.say("CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:1\ndestination:/open/a\n\n\x00SEND\ndestination:/open/a\n\n1\x00")
		f := c.hear()
		unique(f.Text("session"))
		f = c.message("1")
		unique(f.Text("message-id"))
		c.say("UNSUBSCRIBE\nid:1\nreceipt:u\n\n\x00")
		c.receipt("u")
	}
}

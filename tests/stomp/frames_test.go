package stomp_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

var versions = []string{"1.0", "1.1", "1.2"}

func TestNegotiation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for offered, want := range map[string]string{
		"": "1.0", "accept-version:1.0\n": "1.0", "accept-version:1.2,1.1,1.0\n": "1.2", "accept-version:1.0,1.1,2.0\n": "1.1",
		"accept-version:1.2\nheart-beat:0,0\n": "1.2",
	} {
		for _, command := range []string{"CONNECT", "STOMP"} {
			c := s.dial()
			c.say("%s\n%s\n\x00", command, offered)
			f := c.hear()
			if f.Command != frame.Connected || f.Text("version") != want || f.Text("session") == "" || f.Text("server") != "orbitd/test" {
				t.Errorf("%s %q: %s %q", command, offered, f.Command, f.Headers)
			}
		}
	}
	c := s.dial()
	c.say("CONNECT\naccept-version:3.0\nhost:x\n\n\x00")
	if f := c.refused("no common version"); f.Text("version") != "1.0,1.1,1.2" {
		t.Errorf("%q", f.Headers)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.dial()
	c.say("CONNECT\naccept-version:1.2\nlogin:alice\npasscode:wrong\n\n\x00")
	c.refused("wrong user name")
	c = s.dial().connected("1.2")
	c.say("SEND\ndestination:/team/a\nreceipt:r\n\n1\x00")
	if f := c.refused("not allowed"); f.Text("receipt-id") != "r" || f.Text("code") != "forbidden" {
		t.Errorf("%q", f.Headers)
	}
	c = s.dialTLS()
	c.say("CONNECT\naccept-version:1.2\nlogin:alice\npasscode:demo\n\n\x00")
	if f := c.hear(); f.Command != frame.Connected {
		t.Fatalf("%s %q", f.Command, f.Headers)
	}
	c.say("SUBSCRIBE\nid:1\ndestination:/team/a\nreceipt:s\n\n\x00SEND\ndestination:/team/a\nreceipt:r\n\n1\x00")
	c.receipt("s")
	if f := c.message("1"); f.Text("user") != "alice" {
		t.Errorf("%q", f.Headers)
	}
	c.receipt("r")
}

// What a client sends comes to another as it was, and nothing in it can pass for
// what the server says.
func TestSendAndMessage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range versions {
		c := s.dial().connected(version)
		c.say("SUBSCRIBE\nid:s1\ndestination:/open/%s\nreceipt:s\n\n\x00", version)
		c.receipt("s")
		c.say("SEND\ndestination:/open/%s\ndestination:/open/other\nmessage-id:forged\nsubscription:forged\nuser:root\nredelivered:true\n"+
			"ack:forged\ncolour:blau\ncolour:red\ncontent-type:text/plain\ncontent-length:3\nreceipt:r\n\na\x00b\x00", version)
		f := c.message("a\x00b")
		c.receipt("r")
		if f.Text("subscription") != "s1" || f.Text("destination") != "/open/"+version || f.Text("colour") != "blau" ||
			f.Text("content-type") != "text/plain" || strings.Contains(fmt.Sprintf("%q", f.Headers), "forged") {
			t.Errorf("%s: %q", version, f.Headers)
		}
		for _, name := range []string{"user", "redelivered", "ack"} {
			if v, ok := f.Get(name); ok {
				t.Errorf("%s: %s is %q", version, name, v)
			}
		}
		c.say("UNSUBSCRIBE\nid:s1\nreceipt:u\n\n\x00DISCONNECT\nreceipt:d\n\n\x00SEND\ndestination:/open/a\n\n\x00")
		c.receipt("u")
		c.receipt("d")
		if _, err := c.next(); err == nil {
			t.Errorf("%s: something follows the receipt of DISCONNECT", version)
		}
	}
}

// What the HTTP call publishes comes with its offset, and a large body whole.
func TestOtherDoors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:1\ndestination:/open/a\nreceipt:s\n\n\x00")
	c.receipt("s")
	answer, err := http.Post("http://"+s.address("http")+"/v1/publish/open/a", "application/json", strings.NewReader(`{"text":"hi"}`))
	must(t, err)
	answer.Body.Close()
	if f := c.message(`{"text":"hi"}`); f.Text("content-type") != "application/json" {
		t.Errorf("%q", f.Headers)
	}
	http.DefaultClient.CloseIdleConnections()
	large := strings.Repeat("x", 1<<20)
	c.say("SEND\ndestination:/open/a\nreceipt:r\n\n%s\x00", large)
	f := c.message(large)
	c.receipt("r")
	after := s.dial().connected("1.1")
	after.say("SUBSCRIBE\nid:1\ndestination:/open/a\nafter:0\n\n\x00")
	after.message(`{"text":"hi"}`)
	if again := after.message(large); again.Text("message-id") != f.Text("message-id") {
		t.Errorf("%q and %q", again.Headers, f.Headers)
	}
}

// What cannot be done is told, ends the connection, and nobody else's.
func TestWrongFrames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other := s.dial().connected("1.2")
	for name, test := range map[string]struct{ in, why string }{
		"no destination":  {"SEND\nreceipt:r\n\n\x00", "destination"},
		"no channel":      {"SEND\ndestination:open\n\n\x00", "does not begin"},
		"no id":           {"SUBSCRIBE\ndestination:/open/a\n\n\x00", "id"},
		"id twice":        {"SUBSCRIBE\nid:1\ndestination:/open/a\n\n\x00SUBSCRIBE\nid:1\ndestination:/open/b\n\n\x00", "already"},
		"no such ack":     {"SUBSCRIBE\nid:1\nack:maybe\ndestination:/open/a\n\n\x00", "ack"},
		"no subscription": {"UNSUBSCRIBE\nid:1\n\n\x00", "no subscription"},
		"ACK of nothing":  {"ACK\nid:0-5\n\n\x00", "not sent"},
		"NACK of nothing": {"NACK\nid:x\n\n\x00", "not sent"},
		"no transaction":  {"COMMIT\ntransaction:t\n\n\x00", "BEGIN first"},
		"in none":         {"SEND\ndestination:/open/a\ntransaction:t\n\n\x00", "BEGIN first"},
		"twice begun":     {"BEGIN\ntransaction:t\n\n\x00BEGIN\ntransaction:t\n\n\x00", "begun"},
		"no JSON":         {"SEND\ndestination:/open/a\ncontent-type:application/json\n\n{\x00", "JSON"},
		"selector":        {"SUBSCRIBE\nid:1\ndestination:/open/a\nselector:a=1\n\n\x00", "selector"},
	} {
		c := s.dial().connected("1.2")
		c.say("%s", test.in)
		if f := c.refused(test.why); strings.Contains(test.in, "receipt:r") && f.Text("receipt-id") != "r" {
			t.Errorf("%s: %q", name, f.Headers)
		}
	}
	for _, in := range []string{"SEND\ndestination:/open/a\n\n\x00", "SUBSCRIBE\nid:1\ndestination:/open/a\n\n\x00", "DISCONNECT\n\n\x00"} {
		c := s.dial()
		c.say("%s", in)
		c.refused("CONNECT first")
	}
	c := s.dial()
	c.say("CONNECT\nlogin:%s", strings.Repeat("x", 5000))
	c.refused("4096")
	other.say("SEND\ndestination:/open/a\nreceipt:r\n\n\x00")
	other.receipt("r")
}

// A transaction is stored as one or not at all, over all its destinations.
func TestTransactions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:1\ndestination:/open/a\n\n\x00SUBSCRIBE\nid:2\ndestination:/open/b\nreceipt:s\n\n\x00")
	c.receipt("s")
	c.say("BEGIN\ntransaction:t\nreceipt:1\n\n\x00SEND\ndestination:/open/a\ntransaction:t\nreceipt:2\n\n1\x00SEND\ndestination:/open/b\ntransaction:t\n\n2\x00")
	c.receipt("1")
	c.receipt("2")
	c.say("SEND\ndestination:/open/a\n\n\"before\"\x00")
	c.message(`"before"`)
	c.say("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
	c.message("1")
	c.message("2")
	c.receipt("c")
	c.say("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/open/a\ntransaction:t\n\n3\x00ABORT\ntransaction:t\nreceipt:a\n\n\x00")
	c.receipt("a")
	c.say("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/open/a\ntransaction:t\n\n4\x00SEND\ndestination:/team/b\ntransaction:t\n\n5\x00COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
	if f := c.refused("not allowed"); f.Text("receipt-id") != "c" {
		t.Errorf("%q", f.Headers)
	}
	c = s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:1\ndestination:/open/a\nafter:0\n\n\x00")
	c.message(`"before"`)
	c.message("1")
	c.say("SEND\ndestination:/open/a\n\n\"last\"\x00")
	c.message(`"last"`)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:1\ndestination:/open/a\nreceipt:s\n\n\x00")
	c.receipt("s")
	c.say("%s", strings.Repeat("SEND\ndestination:/open/a\nidempotency-key:k\n\n1\x00", 3)+"SEND\ndestination:/open/a\n\n2\x00")
	c.message("1")
	c.message("2")
	c.say("SEND\ndestination:/open/a\nidempotency-key:k\nreceipt:r\n\n9\x00")
	c.refused("used before")
}

// An ACK names a message, as the version has it.
func acked(version string, f frame.Frame) string {
	if version == "1.2" {
		return fmt.Sprintf("id:%s\n", f.Text("ack"))
	}
	return fmt.Sprintf("subscription:%s\nmessage-id:%s\n", f.Text("subscription"), f.Text("message-id"))
}

// The window bounds what is not acknowledged; each ack of the mode client opens it
// for all before, of client-individual for one.
func TestAcknowledgements(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range versions {
		for _, mode := range []string{"client", "client-individual"} {
			if version == "1.0" && mode != "client" {
				continue
			}
			name := "/open/" + version + mode
			c := s.dial().connected(version)
			c.say("SUBSCRIBE\nid:1\ndestination:%s\nack:%s\nprefetch-count:3\nreceipt:s\n\n\x00", name, mode)
			c.receipt("s")
			p := s.dial().connected("1.2")
			for i := range 9 {
				p.say("SEND\ndestination:%s\nreceipt:%d\n\n%d\x00", name, i, i)
				p.receipt(fmt.Sprint(i))
			}
			c.message("0")
			second := c.message("1")
			third := c.message("2")
			c.nothing()
			c.say("ACK\n%s\n\x00", acked(version, second))
			if mode == "client" {
				c.message("3")
				c.message("4")
			} else {
				c.say("ACK\n%sreceipt:a\n\n\x00", acked(version, third))
				c.receipt("a") // the first is still open
			}
			c.nothing()
		}
	}
}

// What is refused comes again, marked, up to where it is acknowledged.
func TestNack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range []string{"1.1", "1.2"} {
		c := s.dial().connected(version)
		c.say("SUBSCRIBE\nid:1\ndestination:/open/%s\nack:client-individual\nreceipt:s\n\n\x00", version)
		c.receipt("s")
		c.say("SEND\ndestination:/open/%s\n\n1\x00SEND\ndestination:/open/%[1]s\n\n2\x00", version)
		first := c.message("1")
		second := c.message("2")
		if _, ok := first.Get("redelivered"); ok {
			t.Errorf("%q", first.Headers)
		}
		c.say("NACK\n%s\n\x00", acked(version, first))
		again := c.message("1")
		if again.Text("redelivered") != "true" || again.Text("message-id") != first.Text("message-id") {
			t.Errorf("%q", again.Headers)
		}
		c.say("ACK\n%s\n\x00ACK\n%sreceipt:a\n\n\x00", acked(version, again), acked(version, second))
		c.receipt("a")
		c.say("BEGIN\ntransaction:t\n\n\x00ACK\n%stransaction:t\n\n\x00ABORT\ntransaction:t\nreceipt:b\n\n\x00", acked(version, second))
		c.receipt("b")
	}
}

// A right that is withdrawn ends the connection of who used it.
func TestWithdrawnRight(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:1\ndestination:/open/a\nreceipt:s\n\n\x00")
	c.receipt("s")
	s.configure(strings.ReplaceAll(configuration, `subscribe = ["*"]`, `subscribe = ["user:bob"]`))
	must(t, s.Reload(t.Context()))
	c.refused("not allowed")
}

package stomp_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// A whole conversation is the same wherever the stream is cut: over TCP, and over
// WebSocket, where a ping between the two messages shows that the first part was read.
func TestSplit(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			end := "\n"
			if version == "1.2" {
				end = "\r\n"
			}
			in := strings.ReplaceAll("CONNECT\naccept-version:"+version+"\nhost:x\n\n\x00\n"+
				"SUBSCRIBE\nid:1\ndestination:/open/a\nack:client\nreceipt:1\n\n\x00\n\n"+
				"SEND\ndestination:/open/b\nreceipt:2\ncontent-length:3\n\na\x00b\x00"+
				"BEGIN\ntransaction:t\n\n\x00ABORT\ntransaction:t\nreceipt:3\n\n\x00", "\n", end) + "\n"
			for i := 1; i < len(in); i++ {
				c := s.dial()
				c.say("%s", in[:i])
				c.conversation(in[i:])
				c.Close()
				if i%3 == 0 { // and these are as many as take a moment
					c = s.webSocket(1 << 20)
					c.say("%s", in[:i])
					must(t, wsutil.WriteClientMessage(c.Conn.(*socket).Conn, 9, nil))
					c.conversation(in[i:])
					c.Close()
				}
			}
			c := s.dial()
			c.conversation(in)
			c.say("%s", strings.Repeat("SEND\ndestination:/open/a\nreceipt:r\n\n1\x00\n", 100)) // many in one read
			for range 100 {
				c.receipt("r")
			}
		})
	}
}

// conversation says the rest of TestSplit's, and hears the answers.
func (c *client) conversation(rest string) {
	c.t.Helper()
	c.say("%s", rest)
	if f := c.hear(); f.Command != frame.Connected {
		c.t.Fatalf("%s %q before %q", f.Command, f.Headers, rest)
	}
	got := map[string]bool{}
	for range 3 {
		f := c.the(frame.Receipt)
		got[f.Text("receipt-id")] = true
	}
	if !got["1"] || !got["2"] || !got["3"] {
		c.t.Fatalf("%v before %q", got, rest)
	}
}

// What is not a frame of the version is answered with ERROR and the connection's end,
// before CONNECTED as well as behind it, and disturbs nobody.
func TestMalformed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other := s.dial().connected("1.2")
	later := []string{"1.1", "1.2"} // 1.0 has no escapes, and lets anything have a body
	for in, in1 := range map[string]struct {
		versions []string
		why      string
	}{
		"HELLO\n\n\x00":                                        {versions, "no command"},
		"send\ndestination:/open/a\n\n\x00":                    {versions, "no command"},
		" SEND\ndestination:/open/a\n\n\x00":                   {versions, "no command"},
		"\x00":                                                 {versions, "NUL"},
		"GET / HTTP/1.1\nHost: x\n\n\x00":                      {versions, "no command"},
		"SEND\nno colon\n\n\x00":                               {versions, "name:value"},
		"SEND\n:no name\n\n\x00":                               {versions, "name:value"},
		"SEND\ndestination:/open/a\x00":                        {versions, "NUL"},
		"SEND\na:\xff\n\n\x00":                                 {versions, "UTF-8"},
		"SEND\na:\\t\n\n\x00":                                  {later, "escape"},
		"SEND\na:\\\n\n\x00":                                   {later, "escape"},
		"SEND\na:\\r\n\n\x00":                                  {[]string{"1.1"}, "escape"},
		"SEND\ncontent-length:1\n\nab\x00":                     {versions, "NUL"},
		"SEND\ncontent-length:one\n\nab\x00":                   {versions, "number"},
		"SEND\ncontent-length:-1\n\nab\x00":                    {versions, "number"},
		"SEND\ncontent-length:\n\nab\x00":                      {versions, "number"},
		"SEND\ncontent-length:99999999999999999999\n\n":        {versions, "body"},
		"SUBSCRIBE\nid:1\ndestination:/open/a\n\nbody\x00":     {later, "no body"},
		"COMMIT\ntransaction:t\ncontent-length:1\n\nb\x00":     {later, "no body"},
		"SEND\n" + strings.Repeat("a:b\n", 101) + "\n\x00":     {versions, "headers"},
		"SEND\na:" + strings.Repeat("b", 9000) + "\n\n\x00":    {versions, "bytes"},
		strings.Repeat("S", 9000):                              {versions, "bytes"},
		"SEND\n\n" + strings.Repeat("b", 2<<20+1):              {versions, "body"},
		"CONNECTED\nversion:1.2\n\n\x00":                       {versions, "servers"},
		"MESSAGE\ndestination:/open/a\nmessage-id:1\n\nhi\x00": {versions, "servers"},
		"RECEIPT\nreceipt-id:1\n\n\x00":                        {versions, "servers"},
		"ERROR\nmessage:what\n\n\x00":                          {versions, "servers"},
		"STOMP\naccept-version:1.2\nhost:x\n\n\x00":            {versions, "connected already"},
	} {
		for _, version := range in1.versions {
			for _, c := range []*client{s.dial().connected(version), s.webSocket(1000).connected(version)} {
				// It may end before all is said, and with more behind it.
				_, _ = c.Write([]byte(in + "\nSEND\ndestination:/open/a\n\n\"behind it\"\x00"))
				f := c.refused(in1.why)
				if f.Text("content-type") == "" || f.Text("content-length") != fmt.Sprint(len(f.Body)) || f.Text("code") == "" {
					t.Errorf("%.40q: %q", in, f.Headers)
				}
			}
		}
		if strings.HasPrefix(in, "STOMP") {
			continue
		}
		c := s.dial()
		_, _ = c.Write([]byte(in))
		if f := c.hear(); f.Command != frame.Error {
			t.Errorf("before CONNECT, %.40q: %s %q", in, f.Command, f.Headers)
		}
	}
	other.say("SUBSCRIBE\nid:1\ndestination:/open/a\nafter:0\n\n\x00SEND\ndestination:/open/a\n\n\"all is well\"\x00")
	other.message(`"all is well"`)
}

// What a header says is the same when it comes back, and what comes of it over an
// older version has nothing in it that the publisher could not have said there.
func TestHeaderValues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	readers := map[string]*client{}
	for _, version := range versions {
		c := s.dial().connected(version)
		c.say("SUBSCRIBE\nid:1\ndestination:/open/a\nack:client\nreceipt:s\n\n\x00")
		c.receipt("s")
		readers[version] = c
	}
	for _, test := range []struct{ version, said, name, in10, in11, in12 string }{
		{"1.0", `plain:a:b\n`, "plain", `a:b\n`, `a:b\n`, `a:b\n`},
		{"1.0", `padded:  b  `, "padded", "b", "b", "b"},
		{"1.1", `spaces: b  `, "spaces", "b", " b  ", " b  "},
		{"1.1", `lines:a\nb\\\c`, "lines", `ab\:`, "a\nb\\:", "a\nb\\:"},
		{"1.1", "carriage:a\r", "carriage", "a", "a", "a\r"},
		{"1.2", `carriage:a\rb`, "carriage", "ab", "ab", "a\rb"},
		{"1.2", `ümläut:ß`, "ümläut", "ß", "ß", "ß"},
		{"1.2", `empty:`, "empty", "", "", ""},
		{"1.2", "twice:1\ntwice:2", "twice", "1", "1", "1"},
	} {
		c := s.dial().connected(test.version)
		c.say("SEND\ndestination:/open/a\n%s\n\n1\x00", test.said)
		for version, want := range map[string]string{"1.0": test.in10, "1.1": test.in11, "1.2": test.in12} {
			f := readers[version].message("1")
			if got, ok := f.Get(test.name); !ok || string(got) != want {
				t.Errorf("%s said %q, %s heard %q, not %q", test.version, test.said, version, got, want)
			}
		}
	}
}

// No header by which a server tells something comes from a publisher: not by its
// name, nor by one that an older version would write or read as that name.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, reader := range versions {
		c := s.dial().connected(reader)
		c.say("SUBSCRIBE\nid:1\ndestination:/open/%s\nreceipt:s\n\n\x00", reader)
		c.receipt("s")
		p := s.dial().connected("1.2")
		for _, name := range []string{"message-id", "subscription", "ack", "redelivered", "timestamp", "user", "gap"} {
			half := len(name) / 2
			for _, said := range []string{
				name, name + " ", " " + name, name + `\r`, name[:half] + `\n` + name[half:], name[:half] + `\r` + name[half:], name + `\c`,
				`harmless\n` + name, // as a value's end would be, in 1.0
			} {
				p.say("SEND\ndestination:/open/%s\n%s:forged\nvalue:x\\n%s\\cforged\n\n1\x00", reader, said, name)
				f := c.message("1")
				if v, _ := f.Get(name); bytes.Contains(v, []byte("forged")) {
					t.Errorf("%q came to %s as %q", said, reader, f.Headers)
				}
			}
		}
	}
}

// Of a header that is repeated, the first counts, whatever it is for.
func TestRepeatedHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range versions {
		c := s.dial()
		c.say("CONNECT\naccept-version:%s\naccept-version:3.0\nheart-beat:0,0\nheart-beat:x\n\n\x00", version)
		if f := c.hear(); f.Text("version") != version {
			t.Fatalf("%s: %s %q", version, f.Command, f.Headers)
		}
		c.say("SUBSCRIBE\nid:1\nid:2\ndestination:/open/%s\ndestination:/no/where\nack:client\nack:what\nreceipt:s\nreceipt:x\n\n\x00", version)
		c.receipt("s")
		c.say("BEGIN\ntransaction:t\ntransaction:u\n\n\x00SEND\ndestination:/open/%s\ndestination:/no/where\ntransaction:t\ntransaction:v\n"+
			"content-length:1\ncontent-length:9\ncolour:blue\ncolour:red\n\n1\x00COMMIT\ntransaction:t\ntransaction:w\n\n\x00", version)
		f := c.message("1")
		if f.Text("colour") != "blue" || f.Text("subscription") != "1" {
			t.Errorf("%s: %q", version, f.Headers)
		}
	}
}

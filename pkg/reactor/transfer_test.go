package reactor_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/orbitd/orbitd/pkg/reactor"
)

func TestDetachTakesWhatWasNotConsumed(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	type detached struct {
		nc     net.Conn
		prefix string
	}
	out := make(chan detached, 1)
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data: func(c *reactor.Conn, b []byte) int {
				nc, prefix, err := c.Detach()
				if err != nil {
					t.Error(err)
				}
				if !c.Write([]byte("lost")) && c.Pending() == 0 {
					out <- detached{nc, string(prefix)}
				}
				return len(b)
			},
			closed: func(*reactor.Conn, error) { t.Error("Closed after Detach") },
		}
	})
	nc := dial(t, addr)
	send(t, nc, "GET /")
	d := get(t, out)
	defer d.nc.Close()
	if d.prefix != "GET /" || r.Len() != 0 {
		t.Fatalf("prefix %q, %d connections left", d.prefix, r.Len())
	}
	send(t, d.nc, "from outside")
	expect(t, nc, "from outside")
}

func TestAdoptOffersThePrefix(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc := dial(t, l.Addr().String())
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Loops()[1].Adopt(accepted, []byte("early "), &handler{data: echo}); err != nil {
		t.Fatal(err)
	}
	expect(t, nc, "early ")
	send(t, nc, "late")
	expect(t, nc, "late")
}

// ahead is a connection that has read more than it has passed on.
type ahead struct {
	net.Conn
	unread string
}

func (a ahead) Unwrap() (net.Conn, []byte) { return a.Conn, []byte(a.unread) }

func TestAdoptUnwraps(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc := dial(t, l.Addr().String())
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Loops()[0].Adopt(ahead{accepted, "then "}, []byte("first "), &handler{data: echo}); err != nil {
		t.Fatal(err)
	}
	expect(t, nc, "first then ")
	send(t, nc, "last")
	expect(t, nc, "last")
}

func TestAdoptRefusesWhatHasNoDescriptor(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	a, b := net.Pipe()
	defer b.Close()
	if _, err := r.Loops()[0].Adopt(a, nil, &handler{}); err == nil {
		t.Fatal("a pipe was adopted")
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Fatal("it was not closed")
	}
}

func TestMoveTakesKeptInputAndPendingOutput(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	got := make(chan string, 1)
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			other := r.Loops()[1-c.Loop().Index()]
			if !c.Write(big) {
				t.Error("nothing is pending")
			}
			c.Move(other, func(c *reactor.Conn) {
				if c.Loop() != other || c.Pending() == 0 {
					t.Errorf("arrived on loop %d with %d pending", c.Loop().Index(), c.Pending())
				}
				c.Write([]byte("end"))
				c.SetHandler(&handler{data: func(_ *reactor.Conn, b []byte) int { got <- string(b); return len(b) }})
			})
			return 2
		}}
	})
	nc := dial(t, addr)
	send(t, nc, "mvkept")
	if s := get(t, got); s != "kept" {
		t.Fatal(s)
	}
	b := make([]byte, len(big)+3)
	if _, err := io.ReadFull(nc, b); err != nil || !bytes.Equal(b[:len(big)], big) || !bytes.HasSuffix(b, []byte("end")) {
		t.Fatal("what was pending did not arrive:", err)
	}
}

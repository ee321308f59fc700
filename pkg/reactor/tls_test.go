package reactor_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

func TestTLSByteByByte(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			r := start(t, reactor.Options{Loops: 2})
			addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
			nc := secure(t, dribble{dial(t, addr)}, clientOf(version))
			for _, s := range []string{"x", strings.Repeat("long ", 200), "end"} {
				send(t, nc, s)
				expect(t, nc, s)
			}
			if err := nc.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			expectEnd(t, nc)
			if s := r.Stats(); s.Handshakes != 1 || s.HandshakesFailed != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestTLSCloseSaysSo: what was written arrives whole, and a close_notify behind it.
func TestTLSCloseSaysSo(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1, Linger: time.Minute})
	ended, written := make(chan error, 1), make(chan bool, 1)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data: func(c *reactor.Conn, b []byte) int {
				written <- c.Write([]byte("first "), big)
				c.Write(big, []byte(" last"))
				c.Close()
				return len(b)
			},
			closed: func(_ *reactor.Conn, err error) { ended <- err },
		}
	})
	records := &recorder{Conn: dial(t, addr)}
	nc := secure(t, records, clientOf(tls.VersionTLS12))
	send(t, nc, "x")
	if !get(t, written) {
		t.Error("nothing was pending")
	}
	got, err := io.ReadAll(nc)
	want := "first " + string(big) + string(big) + " last"
	if err != nil || string(got) != want {
		t.Fatalf("%d of %d bytes and %v", len(got), len(want), err)
	}
	expectEnd(t, records.Conn)
	if kind := records.last(); kind != alert {
		t.Errorf("the last record is of type %d", kind)
	}
	nc.Close()
	if err := get(t, ended); err != reactor.ErrClosed {
		t.Error(err)
	}
}

const alert = 21

// A recorder keeps what was read: crypto/tls does not tell an end that was said
// from one that was not.
type recorder struct {
	net.Conn
	read []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.read = append(r.read, p[:n]...)
	return n, err
}

// last returns the type of the last record.
func (r *recorder) last() (kind byte) {
	for b := r.read; len(b) > 5; b = b[5+int(b[3])<<8+int(b[4]):] {
		kind = b[0]
	}
	return kind
}

// TestTLSEnds: what the handler is told of how the peer went.
func TestTLSEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(nc *tls.Conn)
		want error
	}{
		"in order":  {func(nc *tls.Conn) { nc.Close() }, nil},
		"truncated": {func(nc *tls.Conn) { nc.NetConn().Close() }, io.ErrUnexpectedEOF},
		"not TLS":   {func(nc *tls.Conn) { _, _ = nc.NetConn().Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, nil},
		"not sealed": {func(nc *tls.Conn) {
			_, _ = nc.NetConn().Write([]byte{23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
		}, nil},
		"too large":   {func(nc *tls.Conn) { _, _ = nc.NetConn().Write([]byte{23, 3, 3, 0xff, 0xff}) }, nil},
		"hello again": {func(nc *tls.Conn) { _, _ = nc.NetConn().Write([]byte{22, 3, 3, 0, 4, 1, 0, 0, 0}) }, nil},
	} {
		for version, number := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				r := start(t, reactor.Options{Loops: 1})
				ended := make(chan error, 1)
				addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler {
					return &handler{data: echo, closed: func(_ *reactor.Conn, err error) { ended <- err }}
				})
				nc := secure(t, dial(t, addr), clientOf(number))
				send(t, nc, "x")
				expect(t, nc, "x")
				test.end(nc)
				orderly := name == "in order" || name == "truncated"
				if !orderly {
					_, err := nc.Read(make([]byte, 1))
					if err == nil || !strings.Contains(err.Error(), "remote error") {
						t.Errorf("the peer was told %v, want an alert", err)
					}
					nc.Close()
				}
				if err := get(t, ended); orderly != (err == test.want) {
					t.Errorf("the handler was told %v", err)
				}
			})
		}
	}
}

// TestTLSHalfClosed: what was asked before a close_notify is answered behind it,
// also where the handler was not taking input then.
func TestTLSHalfClosed(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	paused := make(chan *reactor.Conn, 1)
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler {
		first := true
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			if first {
				first = false
				c.PauseRead()
				paused <- c
				return 0
			}
			return echo(c, b)
		}}
	})
	nc := secure(t, dial(t, addr), newPair().client)
	send(t, nc, "question")
	if err := nc.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c := get(t, paused)
	on(t, r.Loops()[0], c.ResumeRead)
	expect(t, nc, "question")
	expectEnd(t, nc)
}

// gather keeps writes until it is flushed.
type gather struct {
	net.Conn
	held bytes.Buffer
}

func (g *gather) Write(p []byte) (int, error) { return g.held.Write(p) }

// SetWriteDeadline is not for what flush sends later.
func (g *gather) SetWriteDeadline(time.Time) error { return nil }

func (g *gather) flush() { _, _ = g.Conn.Write(g.held.Bytes()); g.held.Reset() }

// TestTLSEndBehindPausedInput: a close_notify in the same segment as input that
// the handler leaves for later does not take that away.
func TestTLSEndBehindPausedInput(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	paused := make(chan *reactor.Conn, 1)
	ended := make(chan error, 1)
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler {
		calls := 0
		return &handler{
			data: func(c *reactor.Conn, b []byte) int {
				if calls++; calls == 2 {
					c.PauseRead()
					paused <- c
					return 0
				}
				return echo(c, b)
			},
			closed: func(_ *reactor.Conn, err error) { ended <- err },
		}
	})
	g := &gather{Conn: dial(t, addr)}
	nc := tls.Client(flushing{g}, newPair().client)
	send(t, nc, "one")
	expect(t, nc, "one")
	send(t, nc, "two")
	_ = nc.CloseWrite()
	g.flush()
	c := get(t, paused)
	on(t, r.Loops()[0], func() {})
	on(t, r.Loops()[0], c.ResumeRead)
	expect(t, nc, "two")
	expectEnd(t, nc)
	if err := get(t, ended); err != nil {
		t.Error(err)
	}
}

// flushing sends what is held before it reads.
type flushing struct{ *gather }

func (f flushing) Read(p []byte) (int, error) { f.flush(); return f.gather.Read(p) }

// TestTLSPipelined: input that comes with the end of the handshake, in one
// segment, is not lost.
func TestTLSPipelined(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			r := start(t, reactor.Options{Loops: 1})
			addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
			g := &gather{Conn: dial(t, addr)}
			nc := tls.Client(flushing{g}, clientOf(version))
			if err := nc.Handshake(); err != nil {
				t.Fatal(err)
			}
			send(t, nc, "behind the handshake")
			expect(t, nc, "behind the handshake")
		})
	}
}

// TestTLSPipelinedToOneThatWaits: such input is also kept for a handler that at
// first takes none, here or on another loop.
func TestTLSPipelinedToOneThatWaits(t *testing.T) {
	for name, begin := range map[string]func(*reactor.Conn, *reactor.Reactor, func(*reactor.Conn)){
		"Paused": func(c *reactor.Conn, _ *reactor.Reactor, ready func(*reactor.Conn)) { c.PauseRead(); ready(c) },
		"Moved": func(c *reactor.Conn, r *reactor.Reactor, ready func(*reactor.Conn)) {
			c.PauseRead()
			c.Move(r.Loops()[1-c.Loop().Index()], ready)
		},
		"MovedNowhere": func(c *reactor.Conn, _ *reactor.Reactor, ready func(*reactor.Conn)) {
			c.Move(c.Loop(), func(c *reactor.Conn) { c.PauseRead(); ready(c) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, reactor.Options{Loops: 2})
			waits := make(chan *reactor.Conn, 1)
			released := false
			addr := listenTLS(t, r, func(c *reactor.Conn) reactor.Handler {
				begin(c, r, func(c *reactor.Conn) { waits <- c })
				return &handler{data: func(c *reactor.Conn, b []byte) int {
					if !released {
						t.Error("input came too early")
					}
					return echo(c, b)
				}}
			})
			g := &gather{Conn: dial(t, addr)}
			nc := tls.Client(flushing{g}, newPair().client)
			if err := nc.Handshake(); err != nil {
				t.Fatal(err)
			}
			send(t, nc, "behind the handshake")
			g.flush()
			c := get(t, waits)
			on(t, c.Loop(), func() {})
			on(t, c.Loop(), func() { released = true; c.ResumeRead() })
			expect(t, nc, "behind the handshake")
		})
	}
}

func TestTLSDetachAndAdopt(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	type detached struct {
		nc     net.Conn
		prefix string
	}
	out := make(chan detached, 1)
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data: func(c *reactor.Conn, b []byte) int {
				nc, prefix, err := c.Detach()
				if err != nil {
					t.Error(err)
				}
				out <- detached{nc, string(prefix)}
				return 0
			},
			closed: func(*reactor.Conn, error) { t.Error("Closed after Detach") },
		}
	})
	g := &gather{Conn: dial(t, addr)}
	nc := tls.Client(flushing{g}, newPair().client)
	send(t, nc, "GET /")
	g.flush()
	d := get(t, out)
	if d.prefix != "GET /" || r.Len() != 0 {
		t.Fatalf("prefix %q, %d connections left", d.prefix, r.Len())
	}
	if d.nc.RemoteAddr().String() != g.LocalAddr().String() {
		t.Errorf("the peer is %v", d.nc.RemoteAddr())
	}
	for _, s := range []string{"a", "b", "c"} {
		send(t, nc, s)
	}
	g.flush() // three records, of which crypto/tls takes more than it passes on
	expect(t, d.nc, "a")
	send(t, d.nc, "from outside")
	expect(t, nc, "from outside")
	if _, err := r.Loops()[1].Adopt(d.nc, []byte("early "), &handler{data: echo}); err != nil {
		t.Fatal(err)
	}
	expect(t, nc, "early bc")
	send(t, nc, "late")
	expect(t, nc, "late")
}

// TestTLSDetachedCloses: who closes a detached connection says so to the peer,
// and what was sent before arrives also if the peer is still sending.
func TestTLSDetachedCloses(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	out := make(chan net.Conn, 1)
	addr := listenTLS(t, r, func(c *reactor.Conn) reactor.Handler {
		nc, _, err := c.Detach()
		if err != nil {
			t.Error(err)
		}
		out <- nc
		return nil
	})
	nc := secure(t, dial(t, addr), newPair().client)
	outside := get(t, out)
	send(t, nc, strings.Repeat("not read ", 1000))
	send(t, outside, "answer")
	if err := outside.Close(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(nc); err != nil || string(got) != "answer" {
		t.Errorf("%q and %v", got, err)
	}
	expectEnd(t, nc.NetConn())
}

func TestTLSMoves(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	moved := make(chan struct{}) // until then the peer reads nothing
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			other := r.Loops()[1-c.Loop().Index()]
			c.Write(big)
			c.Move(other, func(c *reactor.Conn) {
				if c.Pending() == 0 {
					t.Error("nothing is pending")
				}
				c.Write([]byte("end"))
				close(moved)
				c.SetHandler(&handler{data: echo})
			})
			return 2
		}}
	})
	nc := secure(t, dial(t, addr), newPair().client)
	send(t, nc, "mvkept")
	<-moved
	b := make([]byte, len(big)+3)
	if _, err := io.ReadFull(nc, b); err != nil || !bytes.Equal(b[:len(big)], big) || !bytes.HasSuffix(b, []byte("end")) {
		t.Fatal("what was pending did not arrive:", err)
	}
	expect(t, nc, "kept")
}

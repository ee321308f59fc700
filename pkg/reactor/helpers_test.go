package reactor_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// patience is how long a test waits for what must come; none expects to.
const patience = 20 * time.Second

// handler is a reactor.Handler made of functions; those left nil do nothing,
// and data then consumes all.
type handler struct {
	data     func(c *reactor.Conn, b []byte) int
	writable func(c *reactor.Conn)
	closed   func(c *reactor.Conn, err error)
}

func (h *handler) Data(c *reactor.Conn, b []byte) int {
	if h.data == nil {
		return len(b)
	}
	return h.data(c, b)
}

func (h *handler) Writable(c *reactor.Conn) {
	if h.writable != nil {
		h.writable(c)
	}
}

func (h *handler) Closed(c *reactor.Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

// echo sends back what comes.
func echo(c *reactor.Conn, b []byte) int {
	c.Write(append([]byte(nil), b...))
	return len(b)
}

// start returns a reactor that is closed when the test ends.
func start(t testing.TB, o reactor.Options) *reactor.Reactor {
	t.Helper()
	r, err := reactor.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, r) })
	return r
}

func stop(t testing.TB, r *reactor.Reactor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

// listen has r accept on a free port of the loopback and returns its address.
func listen(t testing.TB, r *reactor.Reactor, accept func(*reactor.Conn) reactor.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := r.Listen(l, accept); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// dial connects to addr; the connection gives up when the test's patience does.
func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc.(*net.TCPConn)
}

func send(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

// expect reads exactly want.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("read %q and %v, want %q", b[:n], err, want)
	}
}

// expectEnd reads the clean end of the stream.
func expectEnd(t testing.TB, r io.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read %d bytes and %v, want the end", n, err)
	}
}

// get receives from ch, or fails.
func get[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("it did not come")
	}
	return v
}

// on runs f on the loop and waits for it.
func on(t testing.TB, l *reactor.Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	l.Post(func() { defer close(done); f() })
	get(t, done)
}

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Unix(1_790_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

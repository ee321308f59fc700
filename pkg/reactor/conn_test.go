package reactor_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orbitd/orbitd/pkg/reactor"
)

func TestEcho(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	ended := make(chan error, 1)
	addr := listen(t, r, func(c *reactor.Conn) reactor.Handler {
		if c.RemoteAddr().String() == c.LocalAddr().String() || !c.RemoteAddr().Addr().IsLoopback() {
			t.Errorf("addresses %v and %v", c.RemoteAddr(), c.LocalAddr())
		}
		return &handler{data: echo, closed: func(_ *reactor.Conn, err error) { ended <- err }}
	})
	nc := dial(t, addr)
	send(t, nc, "hello")
	expect(t, nc, "hello")
	nc.Close()
	if err := get(t, ended); err != nil {
		t.Fatalf("closed with %v, want a clean end", err)
	}
}

// lines consumes whole lines only and hands each to f.
func lines(f func(c *reactor.Conn, line string)) func(*reactor.Conn, []byte) int {
	return func(c *reactor.Conn, b []byte) (n int) {
		for {
			i := bytes.IndexByte(b[n:], '\n')
			if i < 0 {
				return n
			}
			f(c, string(b[n:n+i]))
			n += i + 1
		}
	}
}

func TestUnconsumedInputIsKeptAndOfferedAgain(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	got := make(chan string, 10)
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{data: lines(func(_ *reactor.Conn, s string) { got <- s })}
	})
	nc := dial(t, addr)
	_ = nc.SetNoDelay(true)
	long := strings.Repeat("x", 5000)
	for _, b := range []byte("one\ntwo\n" + long + "\nth") {
		send(t, nc, string(b))
	}
	send(t, nc, "ree\n")
	for _, want := range []string{"one", "two", long, "three"} {
		if s := get(t, got); s != want {
			t.Fatalf("got %.20q, want %.20q", s, want)
		}
	}
}

func TestTooMuchUnconsumedInputCloses(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1, MaxInput: 4096})
	ended := make(chan error, 1)
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data:   func(*reactor.Conn, []byte) int { return 0 },
			closed: func(_ *reactor.Conn, err error) { ended <- err },
		}
	})
	nc := dial(t, addr)
	send(t, nc, strings.Repeat("x", 4095))
	select {
	case err := <-ended:
		t.Fatal("closed too early:", err)
	default:
	}
	send(t, nc, "xx")
	if err := get(t, ended); !errors.Is(err, reactor.ErrTooLarge) {
		t.Fatal(err)
	}
}

func TestPauseKeepsInputUntilResume(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	got := make(chan string, 10)
	conns := make(chan *reactor.Conn, 1)
	addr := listen(t, r, func(c *reactor.Conn) reactor.Handler {
		conns <- c
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				return 0
			}
			got <- string(b[:i])
			c.PauseRead()
			return i + 1
		}}
	})
	nc := dial(t, addr)
	c := get(t, conns)
	send(t, nc, "one\ntwo\nthr")
	if s := get(t, got); s != "one" {
		t.Fatal(s)
	}
	send(t, nc, "ee\n")
	for _, want := range []string{"two", "three"} {
		on(t, c.Loop(), func() {
			if len(got) > 0 {
				t.Error("data was offered while paused")
			}
			c.ResumeRead()
			if len(got) > 0 {
				t.Error("data was offered from within ResumeRead")
			}
		})
		if s := get(t, got); s != want {
			t.Fatalf("got %q, want %q", s, want)
		}
	}
}

func TestReplacedHandlerGetsTheRest(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	got := make(chan string, 1)
	second := &handler{data: func(_ *reactor.Conn, b []byte) int { got <- string(b); return len(b) }}
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{data: func(c *reactor.Conn, b []byte) int { c.SetHandler(second); return 4 }}
	})
	send(t, dial(t, addr), "headbody")
	if s := get(t, got); s != "body" {
		t.Fatal(s)
	}
}

func TestPanicLosesThatConnectionOnly(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	ended := make(chan error, 2)
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data: func(c *reactor.Conn, b []byte) int {
				if b[0] == '!' {
					panic("as asked")
				}
				return echo(c, b)
			},
			closed: func(_ *reactor.Conn, err error) { ended <- err },
		}
	})
	good, bad := dial(t, addr), dial(t, addr)
	send(t, bad, "!")
	if err := get(t, ended); !errors.Is(err, reactor.ErrPanic) {
		t.Fatal(err)
	}
	panicked := make(chan struct{})
	r.Loops()[0].Post(func() { panic("as asked, too") })
	r.Loops()[0].Post(func() { close(panicked) })
	<-panicked
	send(t, good, "still here")
	expect(t, good, "still here")
	if n := r.Stats().Panics; n != 2 {
		t.Fatalf("%d panics counted", n)
	}
}

func TestGracefulCloseDeliversTheLastFrame(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	ended := make(chan error, 1)
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data: func(c *reactor.Conn, b []byte) int {
				c.Write(big, []byte("bye"))
				c.Close()
				c.Write([]byte("never"))
				return 0 // unread input must not turn the end into a reset
			},
			closed: func(_ *reactor.Conn, err error) { ended <- err },
		}
	})
	nc := dial(t, addr)
	send(t, nc, "go")
	send(t, nc, "and more that nobody reads")
	b, err := io.ReadAll(nc)
	if err != nil || len(b) != len(big)+3 || !bytes.HasSuffix(b, []byte("bye")) {
		t.Fatalf("read %d bytes and %v", len(b), err)
	}
	nc.Close()
	if err := get(t, ended); !errors.Is(err, reactor.ErrClosed) {
		t.Fatal(err)
	}
}

// Of what a peer does not read little is left to the kernel, which would keep megabytes.
func TestPeerThatDoesNotRead(t *testing.T) {
	const all, chunk, most = 16 << 20, 16 << 10, 1 << 20
	r := start(t, reactor.Options{Loops: 1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := make(chan int)
	err = r.Listen(l, func(*reactor.Conn) reactor.Handler {
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			part := make([]byte, chunk)
			for range all / chunk {
				c.Write(part)
			}
			n := all - c.Pending()
			go func() { taken <- n }()
			return len(b)
		}}
	})
	if err != nil {
		t.Fatal(err)
	}
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10) })
	}}
	nc, err := dialer.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	send(t, nc, "x")
	if n := <-taken; n > most {
		t.Errorf("the kernel took %d bytes", n)
	}
	if _, err := io.ReadFull(nc, make([]byte, all)); err != nil {
		t.Errorf("then read: %v", err)
	}
}

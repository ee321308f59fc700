package reactor_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A stress is a server that echoes in the most roundabout way: it consumes
// random parts, pauses, writes in pieces, moves between the loops and leaves
// for the Go runtime and comes back. What its peers get must still be what they
// sent, and each connection must end exactly once.
type stress struct {
	t              *testing.T
	tls            bool
	r              *reactor.Reactor
	opened, closed atomic.Int64
	returns        sync.WaitGroup
}

type stressed struct {
	s      *stress
	rnd    *rand.Rand
	waits  bool // for Writable, to resume
	closed bool
}

func (s *stress) accept(*reactor.Conn) reactor.Handler {
	n := s.opened.Add(1)
	return &stressed{s: s, rnd: rand.New(rand.NewPCG(1, uint64(n)))}
}

func (h *stressed) Data(c *reactor.Conn, b []byte) int {
	switch p := h.rnd.IntN(100); {
	case p < 3 && c.Pending() == 0:
		n := h.rnd.IntN(len(b) + 1) // does not matter
		h.leave(c)
		return n
	case p < 8:
		c.Move(h.s.r.Loops()[h.rnd.IntN(2)], nil)
	case p < 12:
		c.PauseRead()
		c.ResumeRead()
	}
	k := h.rnd.IntN(len(b) + 1)
	c.Write(h.pieces(bytes.Clone(b[:k]))...)
	switch {
	case c.Pending() > 32<<10:
		h.waits = true
		c.PauseRead()
	case k < len(b):
		c.PauseRead()
		resume(c)
	}
	return k
}

// resume resumes c, wherever it is by then.
func resume(c *reactor.Conn) {
	l := c.Loop()
	l.Post(func() {
		if c.Loop() != l {
			resume(c)
			return
		}
		c.ResumeRead()
	})
}

func (h *stressed) pieces(b []byte) (bufs [][]byte) {
	for len(b) > 0 {
		n := 1 + h.rnd.IntN(len(b))
		if len(bufs) > 100 {
			n = len(b)
		}
		bufs = append(bufs, b[:n])
		b = b[n:]
	}
	return bufs
}

func (h *stressed) leave(c *reactor.Conn) {
	nc, prefix, err := c.Detach()
	if err != nil {
		h.s.t.Error("detach:", err)
		return
	}
	to := h.s.r.Loops()[h.rnd.IntN(2)]
	h.s.returns.Go(func() {
		if _, err := to.Adopt(nc, prefix, h); err != nil {
			h.s.t.Error("adopt:", err)
		}
	})
}

func (h *stressed) Writable(c *reactor.Conn) {
	if h.waits {
		h.waits = false
		c.ResumeRead()
	}
}

func (h *stressed) Closed(*reactor.Conn, error) {
	if h.closed {
		h.s.t.Error("closed twice")
	}
	h.closed = true
	h.s.closed.Add(1)
}

// tiny gives the sockets of a listener or dialer small buffers; with the least
// that there are, the test would mostly wait for timers of the kernel.
func tiny(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8<<10)
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10)
	})
}

// peer sends size random bytes in random pieces and expects them back. If
// vanish is not 0, it disappears after so many bytes have come back.
func (s *stress) peer(addr string, seed uint64, vanish int) {
	rnd := rand.New(rand.NewPCG(2, seed))
	d := net.Dialer{Control: tiny, Timeout: patience}
	tcp, err := d.Dial("tcp", addr)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(2 * patience))
	nc := s.over(tcp, seed)
	msg := make([]byte, 1+rnd.IntN(60_000))
	for i := range msg {
		msg[i] = byte(rnd.Uint32())
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { sendPieces(nc, rand.New(rand.NewPCG(3, seed)), msg) })
	if vanish > 0 {
		_, _ = io.CopyN(io.Discard, nc, int64(vanish))
		if seed%2 == 0 {
			_ = tcp.(*net.TCPConn).SetLinger(0)
		}
		tcp.Close()
		return
	}
	if back, err := io.ReadAll(nc); err != nil || !bytes.Equal(back, msg) {
		s.t.Errorf("peer %d: %d of %d bytes came back, %v", seed, len(back), len(msg), err)
	}
}

// A duplex is a connection of which one direction can be closed.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// over returns what the peer speaks over a connection.
func (s *stress) over(tcp net.Conn, seed uint64) duplex {
	if !s.tls {
		return tcp.(*net.TCPConn)
	}
	return tls.Client(tcp, clientOf(tls.VersionTLS12+uint16(seed%2)))
}

func sendPieces(nc duplex, rnd *rand.Rand, msg []byte) {
	for len(msg) > 0 {
		n := min(1+rnd.IntN(3000), len(msg))
		if _, err := nc.Write(msg[:n]); err != nil {
			return // it has vanished
		}
		msg = msg[n:]
	}
	_ = nc.CloseWrite()
}

// fewer has a call now and then carry nothing, or only some of its bytes.
func fewer(_ int32, n int) int {
	switch p := rand.IntN(100); {
	case p < 10:
		return 0
	case p < 30:
		return min(n, 1+rand.IntN(n+1))
	}
	return n
}

func TestStress(t *testing.T)    { runStress(t, false) }
func TestStressTLS(t *testing.T) { runStress(t, true) }

func runStress(t *testing.T, secured bool) {
	peers := 120
	if testing.Short() {
		peers = 40
	}
	s := &stress{t: t, tls: secured, r: start(t, reactor.Limited(reactor.Options{Loops: 2, MaxInput: 16 << 10}, fewer))}
	lc := net.ListenConfig{Control: tiny}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if secured {
		err = s.r.ListenTLS(l, newPair().server, s.accept)
	} else {
		err = s.r.Listen(l, s.accept)
	}
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 40 {
		wg.Go(func() {
			for i := worker; i < peers; i += 40 {
				vanish := 0
				if i%3 == 0 {
					vanish = 1 + i*37%20_000
				}
				s.peer(l.Addr().String(), uint64(i), vanish)
			}
		})
	}
	wg.Wait()
	for end := time.Now().Add(patience); s.closed.Load() < s.opened.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // those whose peers have vanished
	}
	s.returns.Wait()
	stop(t, s.r)
	if n := s.r.Len(); n != 0 || s.opened.Load() != s.closed.Load() || s.opened.Load() != int64(peers) {
		t.Errorf("%d left, %d opened, %d closed", n, s.opened.Load(), s.closed.Load())
	}
	if n := s.r.Stats().Panics; n != 0 {
		t.Errorf("%d panics", n)
	}
}

// TestNumbersAreReusedSafely opens and closes in lockstep from both sides, so
// that the numbers of descriptors are given again at once, while events of
// their earlier owners are still about.
func TestNumbersAreReusedSafely(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	var closed atomic.Int64
	addr := listen(t, r, func(c *reactor.Conn) reactor.Handler {
		greeted := false
		return &handler{
			data: func(c *reactor.Conn, b []byte) int {
				if b[0] != 'a' || greeted {
					t.Errorf("bytes of another connection: %q", b)
				}
				greeted = true
				c.Write([]byte{b[0] + 1})
				if len(b) > 1 {
					c.CloseNow()
				}
				return len(b)
			},
			closed: func(*reactor.Conn, error) { closed.Add(1) },
		}
	})
	var wg sync.WaitGroup
	const workers, each = 8, 150
	for range workers {
		wg.Go(func() {
			for i := range each {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				_ = nc.(*net.TCPConn).SetLinger(0)
				_, _ = nc.Write([]byte("ab")[:1+i%2])
				if i%3 > 0 {
					b := make([]byte, 2)
					if n, _ := nc.Read(b); n != 1 || b[0] != 'b' {
						t.Errorf("read %q", b[:n])
					}
				}
				nc.Close()
			}
		})
	}
	wg.Wait()
	stop(t, r)
	if a := r.Stats().Accepted; uint64(closed.Load()) != a {
		t.Errorf("%d accepted, %d closed", a, closed.Load())
	}
}

// TestEventsOfAnEarlierOwner has one turn with three events: input of a, whose
// handler detaches c, so that its number becomes free; a new connection, which
// is given that number; and the reset of c, which is not the new one's.
func TestEventsOfAnEarlierOwner(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	l := r.Loops()[0]
	var conns []*reactor.Conn
	opened := make(chan struct{}, 3)
	addr := listen(t, r, func(c *reactor.Conn) reactor.Handler {
		conns = append(conns, c)
		if len(conns) == 3 {
			c.PauseRead() // else the event is a read in vain, and does no harm
		}
		opened <- struct{}{}
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			if c == conns[0] {
				if nc, _, err := conns[1].Detach(); err == nil {
					nc.Close()
				}
				return len(b)
			}
			return echo(c, b)
		}}
	})
	a := dial(t, addr)
	get(t, opened)
	c := dial(t, addr)
	get(t, opened)
	held, release := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(held); <-release })
	get(t, held)
	send(t, a, "x")
	heir := dial(t, addr)
	_ = c.SetLinger(0)
	c.Close()
	taken, err := os.Open(os.DevNull) // the number of this side of c
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	close(release)
	get(t, opened)
	on(t, l, func() {})
	on(t, l, func() { conns[2].ResumeRead() })
	send(t, heir, "still here")
	expect(t, heir, "still here")
}

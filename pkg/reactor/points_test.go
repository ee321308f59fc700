package reactor_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// The acts of a conversation, one for each message of ten bytes that the client
// sends: everything that a connection can go through.
var acts = []string{"plain", "many", "pause", "move", "detach", "many", "move", "pause", "close"}

// answer is what the server says to message i.
func answer(i int) (bufs [][]byte) {
	n := 2
	if acts[i] == "many" {
		n = 200 // more than one system call takes
	}
	for k := range n {
		bufs = append(bufs, fmt.Appendf(nil, "%d.%d;", i, k))
	}
	return bufs
}

// answers is all that a client is told.
func answers() (all []byte) {
	for i := range acts {
		all = append(all, bytes.Join(answer(i), nil)...)
	}
	return all
}

// An actor is the server's side of one conversation.
type actor struct {
	p      *points
	next   int
	back   bool // from the Go runtime
	closed bool
}

func (a *actor) Data(c *reactor.Conn, b []byte) (consumed int) {
	for len(b)-consumed >= 10 {
		act := acts[a.next]
		if act == "detach" && !a.back {
			if consumed > 0 || c.Pending() > 0 {
				c.PauseRead() // Detach gives back all that this call was given
				resume(c)
				return consumed
			}
			a.leave(c)
			return 0
		}
		if want := fmt.Sprintf("message %d\n", a.next); string(b[consumed:consumed+10]) != want {
			a.p.t.Errorf("got %q, want %q", b[consumed:consumed+10], want)
		}
		consumed += 10
		c.Write(answer(a.next)...)
		a.next++
		switch act {
		case "pause":
			c.PauseRead()
			resume(c)
			return consumed
		case "move":
			loops := a.p.r.Loops()
			c.Move(loops[1-c.Loop().Index()], nil)
			return consumed
		case "close":
			c.Close()
			return consumed
		}
	}
	return consumed
}

// leave goes to the Go runtime and comes back.
func (a *actor) leave(c *reactor.Conn) {
	to := c.Loop()
	nc, prefix, err := c.Detach()
	if err != nil {
		return // the peer has gone
	}
	a.back = true
	a.p.away.Go(func() {
		if _, err := to.Adopt(nc, prefix, a); err != nil {
			a.p.ended()
		}
	})
}

func (a *actor) Writable(*reactor.Conn) {}

func (a *actor) Closed(*reactor.Conn, error) {
	if a.closed {
		a.p.t.Error("closed twice")
	}
	a.closed = true
	a.p.ended()
}

// points runs the conversation again and again, and has something happen at the
// first call that moves its bytes, then at the second, and so on to the last.
type points struct {
	t    *testing.T
	r    *reactor.Reactor
	addr string
	away sync.WaitGroup

	port    atomic.Int32 // the client's, in the conversation that is under way
	count   atomic.Int32 // of its calls
	at      atomic.Int32 // which call it happens at
	happens atomic.Pointer[func(n int) int]

	opened, closed atomic.Int32
}

func (p *points) ended() { p.closed.Add(1) }

// limit counts the calls of the conversation that is under way.
func (p *points) limit(fd int32, n int) int {
	sa, err := unix.Getpeername(int(fd))
	if err != nil {
		return n
	}
	if peer, ok := sa.(*unix.SockaddrInet4); !ok || int32(peer.Port) != p.port.Load() {
		return n
	}
	if p.count.Add(1) != p.at.Load() {
		return n
	}
	return (*p.happens.Load())(n)
}

// A happening is what comes in between. It gets the client's socket, and the
// bytes that are about to cross.
type happening struct {
	name   string
	whole  bool // the conversation goes on
	happen func(nc *net.TCPConn, n int) int
}

var happenings = []happening{
	{"EAGAIN", true, func(*net.TCPConn, int) int { return 0 }},
	{"one byte", true, func(*net.TCPConn, int) int { return 1 }},
	{"all but one", true, func(_ *net.TCPConn, n int) int { return n - 1 }},
	{"reset", false, func(nc *net.TCPConn, n int) int { _ = nc.SetLinger(0); nc.Close(); return n }},
	{"closed", false, func(nc *net.TCPConn, n int) int { nc.Close(); return n }},
	{"end of input", false, func(nc *net.TCPConn, n int) int { _ = nc.CloseWrite(); return n }},
}

// TestEveryPoint has each of the happenings at each call that moves bytes of a
// conversation, plain and with TLS. Meanwhile other connections come and go, so
// that the numbers of descriptors that become free are given again at once; they
// must notice nothing.
func TestEveryPoint(t *testing.T) {
	for _, secured := range []bool{false, true} {
		for _, h := range happenings {
			name := map[bool]string{false: "plain", true: "TLS"}[secured]
			t.Run(name+"/"+h.name, func(t *testing.T) { everyPoint(t, secured, h) })
		}
	}
}

func everyPoint(t *testing.T, secured bool, h happening) {
	p := &points{t: t}
	p.r = start(t, reactor.Limited(reactor.Options{Loops: 2, Tick: 20 * time.Millisecond, Linger: 20 * time.Millisecond}, p.limit))
	accept := func(*reactor.Conn) reactor.Handler { p.opened.Add(1); return &actor{p: p} }
	config := (*tls.Config)(nil)
	if secured {
		p.addr, config = listenTLS(t, p.r, accept), clientOf(tls.VersionTLS13)
	} else {
		p.addr = listen(t, p.r, accept)
	}
	stopOthers := p.others()
	for p.at.Store(1); p.converse(config, h) && p.at.Load() < 500; p.at.Add(1) {
	}
	if met := p.at.Load(); met < 10 || met == 500 {
		t.Errorf("%d calls were met", met)
	}
	stopOthers()
	p.away.Wait()
	stop(t, p.r)
	if p.opened.Load() != p.closed.Load() || p.r.Len() != 0 || p.r.Stats().Panics != 0 {
		t.Errorf("%d opened, %d closed, %d left, %d panics", p.opened.Load(), p.closed.Load(), p.r.Len(), p.r.Stats().Panics)
	}
}

// converse has one conversation, and reports whether it had as many calls as
// were wanted.
func (p *points) converse(config *tls.Config, h happening) (reached bool) {
	tcp := dial(p.t, p.addr)
	defer tcp.Close()
	happens := func(n int) int { return h.happen(tcp, n) }
	p.happens.Store(&happens)
	p.count.Store(0)
	p.port.Store(int32(tcp.LocalAddr().(*net.TCPAddr).Port))
	var nc net.Conn = tcp
	if config != nil {
		nc = tls.Client(tcp, config)
	}
	p.away.Go(func() {
		var all []byte
		for i := range acts {
			all = fmt.Appendf(all, "message %d\n", i)
		}
		for b := range chunks(all, 7) {
			if _, err := nc.Write(b); err != nil {
				return // it was cut off
			}
		}
	})
	told, err := io.ReadAll(nc)
	reached = p.count.Load() >= p.at.Load()
	switch whole := h.whole || !reached; {
	case whole && (err != nil || !bytes.Equal(told, answers())), !bytes.HasPrefix(answers(), told):
		p.t.Errorf("call %d: %d of %d bytes, %v", p.at.Load(), len(told), len(answers()), err)
	}
	return reached
}

// chunks cuts b in pieces of n bytes.
func chunks(b []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 && yield(b[:min(n, len(b))]) {
			b = b[min(n, len(b)):]
		}
	}
}

// others has connections of a listener of their own come and go, until stop.
func (p *points) others() (stop func()) {
	addr := listen(p.t, p.r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
	quit := make(chan struct{})
	var others sync.WaitGroup
	for k := range 2 {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-quit:
					return
				default:
				}
				if err := exchange(addr, fmt.Sprintf("%d of %d", i, k)); err != nil {
					p.t.Error(err)
					return
				}
			}
		})
	}
	return func() { close(quit); others.Wait() }
}

// exchange sends a text and wants it back.
func exchange(addr, text string) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.(*net.TCPConn).SetLinger(0)
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, text); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != text {
		return fmt.Errorf("read %q and %v, want %q", b, err, text)
	}
	return nil
}

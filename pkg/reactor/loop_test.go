package reactor_test

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

func TestPostsRunInOrderAndTurnsEndWithTheHook(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	l := r.Loops()[0]
	var ran, atTurn int
	l.OnTurn(func() { atTurn = ran })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			mine := 0
			for i := range 1000 {
				l.Post(func() {
					if ran++; mine != i {
						t.Errorf("post %d ran as number %d", i, mine)
					}
					mine++
				})
			}
		})
	}
	wg.Wait()
	on(t, l, func() {}) // a turn that has run all of them
	on(t, l, func() {   // and has ended
		if ran != 4000 || atTurn < 4000 {
			t.Errorf("%d ran, %d before the hook", ran, atTurn)
		}
	})
}

// What a hook has left to be settled ends up before the hooks once more: output
// that a handler queues then must not wait for whatever wakes the loop next.
// Here nothing would: the next tick is a day off.
func TestAHookAlwaysFollowsTheInput(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1, Tick: 24 * time.Hour})
	var conn *reactor.Conn
	var out []byte // what a handler leaves to the round
	r.Loops()[0].OnTurn(func() {
		if len(out) > 0 {
			conn.Write(out)
			out = nil
			conn.ResumeRead()
		}
	})
	addr := listen(t, r, func(c *reactor.Conn) reactor.Handler {
		conn = c
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			out = append(out, b[0])
			c.PauseRead()
			return 1
		}}
	})
	nc := dial(t, addr)
	for _, s := range []string{"one byte a turn", "and again"} {
		send(t, nc, s)
		expect(t, nc, s)
	}
}

// A connection that a hook ends is told so, though nothing else happens.
func TestAHookEndsAConnection(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1, Tick: 24 * time.Hour})
	ended := make(chan error, 1)
	var conn *reactor.Conn
	r.Loops()[0].OnTurn(func() {
		if conn != nil {
			conn.CloseNow()
		}
	})
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data:   func(c *reactor.Conn, b []byte) int { conn = c; return len(b) },
			closed: func(_ *reactor.Conn, err error) { ended <- err },
		}
	})
	nc := dial(t, addr)
	send(t, nc, "x")
	expectEnd(t, nc)
	if err := get(t, ended); !errors.Is(err, reactor.ErrClosed) {
		t.Fatal(err)
	}
}

func TestPostAfterCloseIsDropped(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	stop(t, r)
	r.Loops()[0].Post(func() { t.Error("it ran") })
	stop(t, r)
}

func TestCloseTellsEveryConnection(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	opened, ended := make(chan struct{}, 10), make(chan error, 10)
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler {
		opened <- struct{}{}
		return &handler{closed: func(_ *reactor.Conn, err error) { ended <- err }}
	})
	for range 10 {
		nc := dial(t, addr)
		defer expectEnd(t, nc)
	}
	for range 10 {
		get(t, opened)
	}
	stop(t, r)
	for range 10 {
		if err := get(t, ended); !errors.Is(err, reactor.ErrShutdown) {
			t.Error(err)
		}
	}
}

// A timed test has a reactor of one loop, a clock, and one connection to it.
type timed struct {
	*testing.T
	clk   *clock
	loop  *reactor.Loop
	conn  *reactor.Conn
	ended chan error
}

func newTimed(t *testing.T) (*timed, *net.TCPConn) {
	clk := newClock()
	r := start(t, reactor.Options{
		Loops: 1, Tick: time.Millisecond, Now: clk.now, CloseTimeout: time.Minute, Linger: time.Second,
	})
	x := &timed{T: t, clk: clk, loop: r.Loops()[0], ended: make(chan error, 1)}
	conns := make(chan *reactor.Conn, 1)
	addr := listen(t, r, func(c *reactor.Conn) reactor.Handler {
		conns <- c
		return &handler{data: echo, closed: func(_ *reactor.Conn, err error) { x.ended <- err }}
	})
	nc := dial(t, addr)
	x.conn = get(t, conns)
	return x, nc
}

// advance moves the clock and waits for the loop to see it.
func (x *timed) advance(d time.Duration) {
	x.Helper()
	x.clk.add(d)
	for seen := false; !seen; {
		x.do(func(*reactor.Conn) { seen = x.loop.Now().Equal(x.clk.now()) })
	}
}

func (x *timed) do(f func(c *reactor.Conn)) {
	x.Helper()
	on(x, x.loop, func() { f(x.conn) })
}

func (x *timed) fill() {
	x.do(func(c *reactor.Conn) {
		for !c.Write(bytes.Repeat([]byte("x"), 1<<20)) {
		}
	})
}

func TestStalledTellsSinceWhen(t *testing.T) {
	x, nc := newTimed(t)
	x.advance(5 * time.Second)
	send(t, nc, "x")
	expect(t, nc, "x")
	since := x.clk.now()
	x.fill()
	x.advance(time.Minute)
	x.do(func(c *reactor.Conn) {
		if !c.Stalled().Equal(since) || !c.LastRead().Equal(since) {
			t.Errorf("stalled since %v, read at %v, want both %v", c.Stalled(), c.LastRead(), since)
		}
	})
	for left := 1; left > 0; { // the peer takes it all
		_, _ = nc.Read(make([]byte, 1<<20))
		x.do(func(c *reactor.Conn) { left = c.Pending() })
	}
	x.do(func(c *reactor.Conn) {
		if !c.Stalled().IsZero() {
			t.Error("still stalled")
		}
	})
}

func TestCloseGivesUpOnAPeerThatTakesNothing(t *testing.T) {
	x, _ := newTimed(t)
	x.fill()
	x.do((*reactor.Conn).Close)
	x.advance(59 * time.Second)
	if len(x.ended) > 0 {
		t.Fatal("given up too early")
	}
	x.advance(2 * time.Second)
	if err := get(t, x.ended); !errors.Is(err, reactor.ErrTimeout) {
		t.Fatal(err)
	}
}

func TestCloseLingersForThePeersEnd(t *testing.T) {
	x, nc := newTimed(t)
	x.do((*reactor.Conn).Close)
	expectEnd(t, nc)
	send(t, nc, "this is dropped")
	x.advance(900 * time.Millisecond)
	if len(x.ended) > 0 {
		t.Fatal("given up too early")
	}
	x.advance(2 * time.Second)
	if err := get(t, x.ended); !errors.Is(err, reactor.ErrTimeout) {
		t.Fatal(err)
	}
}

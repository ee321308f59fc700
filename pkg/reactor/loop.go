package reactor

import (
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Loop is one goroutine and what it owns. Post, Adopt, OnTurn, OnTick, Index
// and Len may be called from any goroutine; nothing else may.
type Loop struct {
	r     *Reactor
	index int
	poll  *poller
	count atomic.Int64 // connections, for the choice of a loop

	// The mailbox.
	mu      sync.Mutex
	mail    []func()
	stopped bool
	asleep  atomic.Bool // the next post has to wake it

	// Owned by the goroutine.
	conns     []*Conn // by descriptor
	gen       uint32
	buf       []byte
	wire      wire
	room      room
	listeners []*listener
	muted     []*listener // not watched until the next tick
	spareFD   int         // given up to shed a connection when there are no descriptors
	shed      int         // since it was last logged

	filled   bool   // the last read had all the room that there was: there may be more
	current  *Conn  // whose Data is being called
	borrowed []byte // with this

	reported []unix.EpollEvent // not handled yet
	others   []unix.EpollEvent // of connections that are not urgent, not handled yet
	patient  bool              // there may be some

	later    []func() // see Later
	due      []*Conn  // to be settled
	work     []*Conn  // the other half of due
	batch    []func()
	closing  []*Conn
	toExpire int                 // of closing, the first ones: to be looked at yet
	greeting map[*handshake]bool // no hello yet
	shaking  map[*handshake]bool // begun
	ready    []*handshake        // have a hello, and wait for a place

	onTurn []func()
	onTick []func(time.Time)
	tally  tally

	real    time.Time     // of this turn, by the real clock
	now     time.Time     // by tick
	elapsed time.Duration // since the reactor's start, by tick
	next    time.Time     // when the next tick is due, by the real clock
	drain   bool          // the reactor is being closed
	quit    bool
}

func newLoop(r *Reactor, index int) (*Loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &Loop{
		r: r, index: index, poll: p, gen: 1,
		buf: make([]byte, r.opts.MaxInput), spareFD: openSpare(), now: r.start,
		wire:     wire{limit: r.opts.limit},
		greeting: map[*handshake]bool{}, shaking: map[*handshake]bool{},
	}, nil
}

// Index returns the loop's place in Reactor.Loops.
func (l *Loop) Index() int { return l.index }

// Len returns how many connections the loop has.
func (l *Loop) Len() int { return int(l.count.Load()) }

// Post has f run on the loop, after what was posted before. It never blocks;
// what bounds the queue is that callers wait for answers or are bounded
// themselves. After Reactor.Close, f is dropped.
func (l *Loop) Post(f func()) { l.post(f) }

// post is Post that reports whether f will run: false after Reactor.Close.
func (l *Loop) post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.postLocked(f)
}

// postLocked is post; mu is held.
func (l *Loop) postLocked(f func()) bool {
	if l.stopped {
		return false
	}
	l.mail = append(l.mail, f)
	if l.asleep.CompareAndSwap(true, false) {
		l.poll.wake()
	}
	return true
}

// Later has f run in a turn to come, behind what was left to later before: one such
// call a turn, so that a long piece of work, cut into short ones, is in nobody's way.
// On the loop only. After Reactor.Close, f may be dropped.
func (l *Loop) Later(f func()) { l.later = append(l.later, f) }

// OnTurn has f run at the end of each turn.
func (l *Loop) OnTurn(f func()) { l.Post(func() { l.onTurn = append(l.onTurn, f) }) }

// OnTick has f run about every Options.Tick, with the clock's time.
func (l *Loop) OnTick(f func(now time.Time)) { l.Post(func() { l.onTick = append(l.onTick, f) }) }

// Now returns the clock's time as of the last tick. On the loop only.
func (l *Loop) Now() time.Time { return l.now }

// All returns the loop's connections. On the loop only.
func (l *Loop) All() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range l.conns {
			if c != nil && !yield(c) {
				return
			}
		}
	}
}

// settleLater has settle look at c.
func (l *Loop) settleLater(c *Conn) {
	if c.state&queued == 0 {
		c.state |= queued
		l.due = append(l.due, c)
	}
}

// settle does for each connection what was asked for while something else was
// being done with it. What comes up meanwhile is left to the next time.
func (l *Loop) settle() {
	l.due, l.work = l.work[:0], l.due
	for i, c := range l.work {
		l.work[i] = nil
		c.state &^= queued
		switch {
		case c.state&gone != 0:
		case c.state&doomed != 0:
			l.finish(c)
		case c.state&moving != 0:
			l.depart(c)
		case c.state&(resumed|replaced) != 0 && c.state&deaf == 0 && c.x != nil && len(c.x.in) > 0:
			l.offer(c, c.x.in)
			l.endSealed(c)
		default:
			l.endSealed(c)
		}
	}
}

func (l *Loop) maybeTick() {
	l.real = time.Now()
	if l.real.Before(l.next) {
		return
	}
	l.next = l.real.Add(l.r.opts.Tick)
	if err := l.poll.until(l.next); err != nil {
		l.r.log.WithError(err).Error("the loop's clock cannot be set")
	}
	l.now = l.r.opts.Now()
	l.elapsed = l.now.Sub(l.r.start)
	l.expire()
	l.expireHandshakes()
	l.rearm()
	l.publish()
	for _, f := range l.onTick {
		l.hook(func() { f(l.now) })
	}
}

// hook runs f, whose panic is nobody's connection's.
func (l *Loop) hook(f func()) {
	defer l.guard(nil)
	f()
}

// guard is deferred around each call of code that is not ours. After a panic,
// that connection is closed, and the loop goes on.
func (l *Loop) guard(c *Conn) {
	l.current, l.borrowed = nil, nil
	v := recover()
	if v == nil {
		return
	}
	l.r.panics.Add(1)
	l.r.log.WithField("panic", fmt.Sprint(v)).WithField("stack", string(debug.Stack())).Error("a handler panicked")
	if c != nil {
		c.doom(ErrPanic)
	}
}

// register puts c in the table and has it watched. While the reactor is being
// closed, or if that fails, c is ended instead. It was counted by who sent it.
func (l *Loop) register(c *Conn) bool {
	if n := int(c.fd) + 1; n > len(l.conns) {
		l.conns = append(l.conns, make([]*Conn, n-len(l.conns))...)
	}
	l.gen = max(l.gen+1, 1) // 0 is for what is no connection
	c.gen = l.gen
	c.state |= watchIn
	if c.Pending() > 0 {
		c.state |= watchOut
	}
	l.conns[c.fd] = c
	if l.drain {
		c.doom(ErrShutdown)
		return false
	}
	if err := l.poll.add(l.poll.of(c), int(c.fd), c.gen, c.state.events()); err != nil {
		c.doom(err)
		return false
	}
	return true
}

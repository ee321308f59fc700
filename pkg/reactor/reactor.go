package reactor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// A Reactor is a set of loops, which share the listeners. New starts it, Close
// ends it; its methods may be called from any goroutine.
type Reactor struct {
	opts  Options
	log   logrus.FieldLogger
	start time.Time
	limit int // descriptors have to be below
	loops []*Loop
	wg    sync.WaitGroup

	accepted atomic.Uint64
	shed     atomic.Uint64
	panics   atomic.Uint64
	secured  atomic.Uint64
	failed   atomic.Uint64
	workers  workers

	mu        sync.Mutex
	listeners []*listener
	closed    chan struct{} // nil until Close
}

// Stats are counts since the start, and Conns as it is.
type Stats struct {
	Conns    int
	Accepted uint64
	Shed     uint64 // refused for want of descriptors, or beyond MaxConns
	Panics   uint64

	Handshakes       uint64 // of TLS, that were completed
	HandshakesFailed uint64 // or not: refused by one side, late, or left
}

// New returns a Reactor whose loops run.
func New(o Options) (*Reactor, error) {
	o = o.defaults()
	r := &Reactor{opts: o, log: o.Logger, start: o.Now(), limit: descriptorLimit(o.Reserve)}
	r.workers.tasks = make(chan *handshake, o.Loops*o.MaxHandshakes)
	for i := range o.Loops {
		l, err := newLoop(r, i)
		if err != nil {
			for _, l := range r.loops {
				l.release()
			}
			return nil, fmt.Errorf("make loop %d: %w", i, err)
		}
		r.loops = append(r.loops, l)
	}
	for _, l := range r.loops {
		r.wg.Go(l.run)
	}
	return r, nil
}

// Loops returns the loops; the slice is not to be changed.
func (r *Reactor) Loops() []*Loop { return r.loops }

// Len returns how many connections there are.
func (r *Reactor) Len() (n int) {
	for _, l := range r.loops {
		n += l.Len()
	}
	return n
}

// Stats returns the counts.
func (r *Reactor) Stats() Stats {
	return Stats{
		Conns: r.Len(), Accepted: r.accepted.Load(), Shed: r.shed.Load(), Panics: r.panics.Load(),
		Handshakes: r.secured.Load(), HandshakesFailed: r.failed.Load(),
	}
}

// roomiest returns the loop that should take a connection which l accepted: l,
// unless another has clearly fewer. The kernel tends to wake the same loop again
// and again, so this is what spreads them.
func (r *Reactor) roomiest(l *Loop) *Loop {
	best, least := l, l.Len()
	for _, o := range r.loops {
		if n := o.Len(); n < least {
			best, least = o, n
		}
	}
	if l.Len()-least <= 4+least/16 {
		return l
	}
	return best
}

// Listen has all loops accept from nl, of whose socket it takes a duplicate: nl
// may be closed afterwards, and must not be accepted from elsewhere. accept is
// called for each connection, on the loop that has it, and returns its handler,
// or nil to close it.
func (r *Reactor) Listen(nl net.Listener, accept func(*Conn) Handler) error {
	return r.listen(nl, nil, accept)
}

// ListenTLS is Listen for connections with TLS by config, which is not to be
// changed afterwards; accept is called when a handshake is done. All that a
// handler sees is plaintext. Workers do the handshakes, as many at a time as
// there are processors but one; a peer that keeps one waiting occupies none, and
// has Options.HandshakeTimeout in all.
func (r *Reactor) ListenTLS(nl net.Listener, config *tls.Config, accept func(*Conn) Handler) error {
	return r.listen(nl, config, accept)
}

func (r *Reactor) listen(nl net.Listener, config *tls.Config, accept func(*Conn) Handler) error {
	sc, ok := nl.(syscall.Conn)
	if !ok {
		return fmt.Errorf("listen on %s: %w", nl.Addr(), ErrNotSocket)
	}
	fd, err := duplicate(sc)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", nl.Addr(), err)
	}
	_, tcp := nl.(*net.TCPListener)
	ln := &listener{of: nl, fd: int32(fd), tcp: tcp, tls: config, accept: accept}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("listen on %s: %w", nl.Addr(), ErrShutdown)
	}
	if config != nil {
		r.startWorkers()
	}
	r.listeners = append(r.listeners, ln)
	return r.everywhere(func(l *Loop) error {
		l.listeners = append(l.listeners, ln)
		return l.watchListener(ln)
	})
}

// Unlisten ends what Listen began. When it returns, nothing more is accepted
// from nl.
func (r *Reactor) Unlisten(nl net.Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlisten(func(ln *listener) bool { return ln.of == nl })
}

// unlisten ends the listeners that match. mu is held.
func (r *Reactor) unlisten(match func(*listener) bool) {
	_ = r.everywhere(func(l *Loop) error {
		for _, ln := range l.listeners {
			if match(ln) {
				_ = l.poll.del(l.poll.fd, int(ln.fd)) // fails where it is muted
			}
		}
		l.listeners = slices.DeleteFunc(l.listeners, match)
		l.muted = slices.DeleteFunc(l.muted, match)
		return nil
	})
	r.listeners = slices.DeleteFunc(r.listeners, func(ln *listener) bool {
		if !match(ln) {
			return false
		}
		_ = unix.Close(int(ln.fd))
		return true
	})
}

// everywhere runs f on each loop and waits. It must not be called on a loop.
func (r *Reactor) everywhere(f func(*Loop) error) error {
	errs := make(chan error, len(r.loops))
	posted := 0
	for _, l := range r.loops {
		if l.post(func() { errs <- f(l) }) {
			posted++
		}
	}
	var all []error
	for range posted {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// Close stops accepting, closes all connections (their handlers are told
// ErrShutdown), stops the loops and waits for them until ctx ends. Idempotent.
// It must not be called on a loop.
func (r *Reactor) Close(ctx context.Context) error {
	r.mu.Lock()
	first := r.closed == nil
	if first {
		r.closed = make(chan struct{})
	}
	r.mu.Unlock()
	if first {
		go r.shutdown()
	}
	select {
	case <-r.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the loops: %w", ctx.Err())
	}
}

// shutdown ends everything in two steps, so that a connection on its way from
// one loop to another is met by a loop that still runs.
func (r *Reactor) shutdown() {
	defer close(r.closed)
	r.mu.Lock()
	r.unlisten(func(*listener) bool { return true })
	r.mu.Unlock()
	_ = r.everywhere(func(l *Loop) error {
		l.drain = true
		for c := range l.All() {
			c.doom(ErrShutdown)
		}
		return nil
	})
	for range 2 { // connections under way arrive in the first pass, and end in the second
		_ = r.everywhere(func(*Loop) error { return nil })
	}
	_ = r.everywhere(func(l *Loop) error { l.quit = true; return nil })
	r.wg.Wait()
	r.workers.stop()
}

// release is the loop's last act: it refuses posts and runs those it has taken.
func (l *Loop) release() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	for range 2 {
		l.posted()
		l.settle()
	}
	if l.spareFD >= 0 {
		_ = unix.Close(l.spareFD)
	}
	l.poll.close()
}

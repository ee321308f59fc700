package ldapauth

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	maxIdle = time.Minute      // then a connection is not trusted to be there
	maxAge  = 10 * time.Minute // then it may go to a server that is preferred
)

var errClosed = errors.New("the authenticator is closed")

// A pool keeps connections of one kind: those that search are bound as the
// account that searches before anybody gets them, and those on which users bind
// never search. It may be used concurrently.
type pool struct {
	dial  func(context.Context) (*conn, error)
	again bool // a question that was not answered may be asked twice
	now   func() time.Time
	slots chan struct{} // one for each connection that is in use

	mu     sync.Mutex
	idle   []*conn // the last used at the end
	closed bool
}

func newPool(connections int, again bool, now func() time.Time, dial func(context.Context) (*conn, error)) *pool {
	return &pool{dial: dial, again: again, now: now, slots: make(chan struct{}, connections)}
}

// use runs f with a connection, and once more with a new one if the first was an
// old one that had meanwhile ended, or the question may be asked twice. It waits
// for a connection until ctx ends.
func (p *pool) use(ctx context.Context, f func(*conn) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-p.slots }()
	c := p.take()
	if c == nil {
		return p.useNew(ctx, f)
	}
	err := f(c)
	again := c.broken && (p.again || !c.timedOut)
	p.put(c)
	if again && ctx.Err() == nil {
		return p.useNew(ctx, f)
	}
	return err
}

func (p *pool) useNew(ctx context.Context, f func(*conn) error) error {
	for first := true; ; first = false {
		c, err := p.dial(ctx)
		if err != nil {
			return err
		}
		c.made = p.now()
		err = f(c)
		again := first && c.broken && p.again && ctx.Err() == nil
		p.put(c)
		if !again {
			return err
		}
	}
}

// take returns an idle connection, or nil.
func (p *pool) take() *conn {
	p.trim()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return c
}

// trim closes the idle connections that are not good any more.
func (p *pool) trim() {
	now := p.now()
	p.drop(func(c *conn) bool {
		return now.Sub(c.used) > maxIdle || now.Sub(c.made) > maxAge || c.ldap.IsClosing()
	})
}

// drop closes the idle connections that it reports.
func (p *pool) drop(bad func(*conn) bool) {
	p.mu.Lock()
	var dropped []*conn
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if !bad(c) {
			return false
		}
		dropped = append(dropped, c)
		return true
	})
	p.mu.Unlock()
	for _, c := range dropped {
		c.close()
	}
}

// put gives a connection back.
func (p *pool) put(c *conn) {
	c.old, c.used = true, p.now()
	p.mu.Lock()
	keep := !c.broken && !c.spent && !p.closed
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// close closes the idle connections and waits for the others.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drop(func(*conn) bool { return true })
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for range cap(p.slots) {
		<-p.slots
	}
}

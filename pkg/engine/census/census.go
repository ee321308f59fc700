// Package census counts what each user has stored in an engine, so that none fills memory
// and disk with sessions that nobody comes back for, and shuts the others out.
package census

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
)

// What has expired is not told to anybody. So a count is made again for a user who is
// refused, when it is as old as recountAfter; and for the totals once in recountEvery.
const (
	recountAfter = time.Minute
	recountEvery = 24 * time.Hour
)

// Options say what a Census counts. All are required.
type Options struct {
	Store engine.SessionStore
	// Kind returns which of the sessions that are counted one is, from 0 on and below
	// Kinds; ok is false for those that are not.
	Kind  func(s *engine.Session) (kind int, ok bool)
	Kinds int
	Limit int // of a user, of all kinds together
	Now   func() time.Time
}

// A Census counts the sessions that each user has stored. It counts too many where some
// have expired, until it counts again. It may be used concurrently.
type Census struct {
	o Options

	mu      sync.Mutex
	stored  map[holder]int // nil: not counted yet
	counted time.Time

	totals   []atomic.Int64 // of all users, by kind
	counting atomic.Bool
}

// A holder is a user.
type holder struct{ realm, user string }

func holderOf(s *engine.Session) holder { return holder{s.Realm, s.User} }

// New returns a Census that has not counted anything yet.
func New(o Options) *Census { return &Census{o: o, totals: make([]atomic.Int64, o.Kinds)} }

// Admit counts one more, unless its user has as many as there may be: then ok is false. It
// may block. An error is the engine's.
func (c *Census) Admit(ctx context.Context, s *engine.Session, kind int) (ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := holderOf(s)
	if c.stored == nil || c.stored[who] >= c.o.Limit && c.o.Now().Sub(c.counted) >= recountAfter {
		if err := c.count(ctx); err != nil {
			return false, err
		}
	}
	if c.stored[who] >= c.o.Limit {
		return false, nil
	}
	c.stored[who]++
	c.totals[kind].Add(1)
	return true, nil
}

// Dropped counts one less.
func (c *Census) Dropped(s *engine.Session, kind int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who := holderOf(s); c.stored[who] > 0 {
		c.stored[who]--
		c.totals[kind].Add(-1)
	}
}

// Total returns how many of a kind all users have together, as of the last count.
func (c *Census) Total(kind int) int { return int(c.totals[kind].Load()) }

// Recount counts again what was not counted for a day, or never. It may block, and is
// told to do so by run.
func (c *Census) Recount(run func(func())) {
	if c.counting.Swap(true) {
		return
	}
	run(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stored == nil || c.o.Now().Sub(c.counted) >= recountEvery {
			_ = c.count(context.Background()) // the next call tries again
		}
		c.counting.Store(false)
	})
}

// count looks at all that is stored.
func (c *Census) count(ctx context.Context) error {
	stored, totals := map[holder]int{}, make([]int64, c.o.Kinds)
	err := c.o.Store.Sessions(ctx, func(s engine.Session) bool {
		if kind, ok := c.o.Kind(&s); ok {
			stored[holderOf(&s)]++
			totals[kind]++
		}
		return true
	})
	if err != nil {
		return err
	}
	c.stored, c.counted = stored, c.o.Now()
	for kind, n := range totals {
		c.totals[kind].Store(n)
	}
	return nil
}

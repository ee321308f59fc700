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

	counting sync.Mutex // held while it counts

	mu       sync.Mutex     // never held while the engine is asked
	stored   map[holder]int // nil: not counted yet
	counted  time.Time
	admitted map[entry]int // while it counts: what may not have been there yet

	totals []atomic.Int64 // of all users, by kind
	asked  atomic.Bool    // to recount
}

// A holder is a user.
type holder struct{ realm, user string }

func holderOf(s *engine.Session) holder { return holder{s.Realm, s.User} }

// An entry is one kind of a user's sessions.
type entry struct {
	holder
	kind int
}

// New returns a Census that has not counted anything yet.
func New(o Options) *Census { return &Census{o: o, totals: make([]atomic.Int64, o.Kinds)} }

// Admit counts one more, unless its user has as many as there may be: then ok is false. It
// may block, where it has to count. An error is the engine's.
func (c *Census) Admit(ctx context.Context, s *engine.Session, kind int) (ok bool, err error) {
	ok, sure := c.admit(s, kind)
	if !sure {
		if err := c.count(ctx, recountAfter); err != nil {
			return false, err
		}
		ok, _ = c.admit(s, kind)
	}
	return ok, nil
}

// admit is Admit by what is counted. sure is false where that is too old to refuse anybody.
func (c *Census) admit(s *engine.Session, kind int) (ok, sure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := holderOf(s)
	if c.stored == nil || c.stored[who] >= c.o.Limit {
		return false, c.isFresh(recountAfter)
	}
	c.stored[who]++
	c.totals[kind].Add(1)
	if c.admitted != nil {
		c.admitted[entry{who, kind}]++
	}
	return true, true
}

// isFresh reports whether the last count is younger than age. c.mu is held.
func (c *Census) isFresh(age time.Duration) bool {
	return c.stored != nil && c.o.Now().Sub(c.counted) < age
}

// Dropped counts one less. It does not block.
func (c *Census) Dropped(s *engine.Session, kind int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := holderOf(s)
	if c.stored[who] > 0 {
		c.stored[who]--
		c.totals[kind].Add(-1)
	}
	if c.admitted[entry{who, kind}] > 0 {
		c.admitted[entry{who, kind}]--
	}
}

// Total returns how many of a kind all users have together, as of the last count.
func (c *Census) Total(kind int) int { return int(c.totals[kind].Load()) }

// Recount counts again what was not counted for a day, or never. It may block, and is
// told to do so by run.
func (c *Census) Recount(run func(func())) {
	if c.asked.Swap(true) {
		return
	}
	run(func() {
		_ = c.count(context.Background(), recountEvery) // after an error the next call tries again
		c.asked.Store(false)
	})
}

// count looks at all that is stored, unless that was done within age.
func (c *Census) count(ctx context.Context, age time.Duration) error {
	c.counting.Lock()
	defer c.counting.Unlock()
	if !c.begin(age) {
		return nil
	}
	found := map[entry]int{}
	err := c.o.Store.Sessions(ctx, func(s engine.Session) bool {
		if kind, ok := c.o.Kind(&s); ok {
			found[entry{holderOf(&s), kind}]++
		}
		return true
	})
	c.end(found, err)
	return err
}

// begin reports whether a count is due, and prepares it.
func (c *Census) begin(age time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isFresh(age) {
		return false
	}
	c.admitted = map[entry]int{}
	return true
}

// end puts a count in force, if there was no error. What was dropped meanwhile may be in
// it, until the next.
func (c *Census) end(found map[entry]int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	admitted := c.admitted
	c.admitted = nil
	if err != nil {
		return
	}
	for e, n := range admitted {
		found[e] += n
	}
	stored, totals := map[holder]int{}, make([]int64, c.o.Kinds)
	for e, n := range found {
		stored[e.holder] += n
		totals[e.kind] += int64(n)
	}
	c.stored, c.counted = stored, c.o.Now()
	for kind, n := range totals {
		c.totals[kind].Store(n)
	}
}

package stomp

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// What has expired is not told to anybody. So a count is made again for a user who is
// refused, when it is as old as recountAfter; and for the metrics once in recountEvery.
const (
	recountAfter = time.Minute
	recountEvery = 24 * time.Hour
)

// A census counts the durable subscriptions and groups that each user has stored, so
// that none fills memory and disk with those that nobody comes back for. What it does
// not notice, as they expire, makes it count too many until it counts again.
type census struct {
	sessions engine.SessionStore
	limit    int // of a user
	now      func() time.Time

	mu      sync.Mutex
	stored  map[holder]int // nil: not counted yet
	counted time.Time

	all      [kinds]atomic.Int64 // of all users; with those that have expired since counted
	counting atomic.Bool
}

// A holder is a user.
type holder struct{ realm, user string }

func holderOf(s *engine.Session) holder { return holder{s.Realm, s.User} }

// admit counts one more, or says why there must not be. It may block.
func (c *census) admit(ctx context.Context, s *engine.Session, k kind) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := holderOf(s)
	if c.stored == nil || c.stored[who] >= c.limit && c.now().Sub(c.counted) >= recountAfter {
		if err := c.count(ctx); err != nil {
			return err
		}
	}
	if c.stored[who] >= c.limit {
		return message.Errorf(message.TooLarge, "%s has %d durable subscriptions and groups already (session.max_channels); end some by UNSUBSCRIBE with durable:true", s.User, c.limit)
	}
	c.stored[who]++
	c.all[k].Add(1)
	return nil
}

// dropped counts one less.
func (c *census) dropped(s *engine.Session, k kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who := holderOf(s); c.stored[who] > 0 {
		c.stored[who]--
		c.all[k].Add(-1)
	}
}

// recount counts again what was not counted for a day, or never. It may block, and is
// told to do so by run.
func (c *census) recount(run func(func())) {
	if c.counting.Swap(true) {
		return
	}
	run(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stored == nil || c.now().Sub(c.counted) >= recountEvery {
			_ = c.count(context.Background()) // again at the next tick
		}
		c.counting.Store(false)
	})
}

// count looks at all that is stored.
func (c *census) count(ctx context.Context) error {
	stored, all := map[holder]int{}, [kinds]int64{}
	err := c.sessions.Sessions(ctx, func(s engine.Session) bool {
		if k, ok := kindOf(&s); ok {
			stored[holderOf(&s)]++
			all[k]++
		}
		return true
	})
	if err != nil {
		return err
	}
	c.stored, c.counted = stored, c.now()
	for k, n := range all {
		c.all[k].Store(n)
	}
	return nil
}

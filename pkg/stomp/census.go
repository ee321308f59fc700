package stomp

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// recountAfter is how old a count must be before a user who is refused has it made
// again: what has expired is not told to anybody.
const recountAfter = time.Minute

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
}

// A holder is a user.
type holder struct{ realm, user string }

func holderOf(s *engine.Session) holder { return holder{s.Realm, s.User} }

// admit counts one more, or says why there must not be. It may block.
func (c *census) admit(ctx context.Context, s *engine.Session) error {
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
	return nil
}

// dropped counts one less.
func (c *census) dropped(s *engine.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who := holderOf(s); c.stored[who] > 0 {
		c.stored[who]--
	}
}

// count looks at all that is stored. Sessions of orbit.v1 have no slash in their names.
func (c *census) count(ctx context.Context) error {
	stored := map[holder]int{}
	err := c.sessions.Sessions(ctx, func(s engine.Session) bool {
		if strings.Contains(s.Name, "/") {
			stored[holderOf(&s)]++
		}
		return true
	})
	if err == nil {
		c.stored, c.counted = stored, c.now()
	}
	return err
}

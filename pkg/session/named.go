package session

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// openNamed finds the session that a user has by that name, in memory or in the engine, or
// makes one.
func (p *Part) openNamed(r Request, done func(*Session, error)) {
	realm, user := r.Who.Owner()
	if user == "" {
		done(nil, message.Errorf(message.Unauthorized, "a named session (client) belongs to a user; log in first"))
		return
	}
	key := keyOf(realm, user, r.Name)
	m := p.manager
	if s := m.find(ID(key)); s != nil {
		done(s, nil)
		return
	}
	m.broker.Go(func() {
		fresh := engine.Session{Key: key, Realm: realm, User: user, Name: r.Name}
		stored, found, err := m.broker.Engine().Session(context.Background(), key)
		if err == nil && !found {
			err = m.names.admit(context.Background(), &fresh)
		}
		p.loop.Post(func() { done(p.enterNamed(fresh, stored, found, err)) })
	})
}

// enterNamed makes a session of what was found, or not. Somebody who came at the same time
// may have made it meanwhile.
func (p *Part) enterNamed(fresh, stored engine.Session, found bool, err error) (*Session, error) {
	m := p.manager
	if err != nil {
		if s := m.find(ID(fresh.Key)); s != nil {
			return s, nil
		}
		if message.CodeOf(err) == message.TooLarge {
			m.refused.named.Add(1)
		}
		return nil, err
	}
	s := p.revive(fresh, stored, found)
	entered, err := p.enter(s)
	if !found {
		m.names.settle(&fresh, entered == s)
	}
	return entered, err
}

// revive makes a session of what is stored, or of a fresh record.
func (p *Part) revive(fresh, stored engine.Session, found bool) *Session {
	record := fresh
	if found {
		record = stored
	}
	s := &Session{
		id: ID(record.Key), owner: &owner{realm: record.Realm, user: record.User, name: record.Name}, known: found,
	}
	for i, hash := range record.Secrets {
		copy(s.secrets[i][:], hash[:])
	}
	for _, stored := range record.Subscriptions {
		sub := s.add(stored.Channel)
		sub.acked, sub.stored = stored.Cursor.Position, true
	}
	return s
}

// recountAfter is how old a count must be before a user who is refused has it made again:
// what has expired is not told to anybody.
const recountAfter = time.Minute

// A census counts the named sessions that each user has, so that nobody fills memory and
// disk with those that they never come back for, and shuts the others out. It counts
// too many where some have expired or were not stored, until it counts again.
type census struct {
	store engine.SessionStore
	limit int // of a user
	now   func() time.Time

	mu      sync.Mutex
	named   map[holder]int // nil: not counted yet
	counted time.Time
	opening map[engine.SessionKey]*opening
}

// An opening is a session of whose name several may ask at once: it counts once.
type opening struct {
	askers int // who are admitted, and not settled yet
	made   bool
}

// A holder is a user.
type holder struct{ realm, user string }

func holderOf(s *engine.Session) holder { return holder{s.Realm, s.User} }

// admit counts one more, or says why there must not be. It may block. Who is admitted
// settles it.
func (c *census) admit(ctx context.Context, s *engine.Session) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.opening[s.Key]; o != nil {
		o.askers++
		return nil
	}
	who := holderOf(s)
	if c.named == nil || c.named[who] >= c.limit && c.now().Sub(c.counted) >= recountAfter {
		if err := c.count(ctx); err != nil {
			return err
		}
	}
	if c.named[who] >= c.limit {
		return message.Errorf(message.TooLarge, "%s has %d named sessions already (session.max_named): use their names (client) again, one a device; one that is not used for durable_ttl ends by itself", s.User, c.limit)
	}
	c.named[who]++
	c.opening[s.Key] = &opening{askers: 1}
	return nil
}

// settle says whether who was admitted has made the session. Where nobody has, as it was
// there or there was no room, it does not count.
func (c *census) settle(s *engine.Session, made bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.opening[s.Key]
	o.askers--
	if o.made = o.made || made; o.askers > 0 {
		return
	}
	delete(c.opening, s.Key)
	if who := holderOf(s); !o.made && c.named[who] > 0 {
		c.named[who]--
	}
}

// count looks at all that is stored. What stands in STOMP's name has a slash in its own.
func (c *census) count(ctx context.Context) error {
	named := map[holder]int{}
	err := c.store.Sessions(ctx, func(s engine.Session) bool {
		if !strings.Contains(s.Name, "/") {
			named[holderOf(&s)]++
		}
		return true
	})
	if err == nil {
		c.named, c.counted = named, c.now()
	}
	return err
}

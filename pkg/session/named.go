package session

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/census"
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

// openByID finds the session of an id: in memory any, in the engine one by name that r
// selects. Where there is none it makes a new one.
func (p *Part) openByID(r Request, done func(*Session, error)) {
	id, ok := parseID(r.ID)
	if !ok {
		done(p.Create(r))
		return
	}
	m := p.manager
	if s := m.find(id); s != nil {
		done(s, nil)
		return
	}
	if _, user := r.Who.Owner(); user == "" { // has no names
		done(p.Create(r))
		return
	}
	m.broker.Go(func() {
		stored, found, err := m.broker.Engine().Session(context.Background(), engine.SessionKey(id))
		p.loop.Post(func() { done(p.enterStored(r, stored, found, err)) })
	})
}

// enterStored makes a session of what was found, if r selects it, else a new one.
func (p *Part) enterStored(r Request, stored engine.Session, found bool, err error) (*Session, error) {
	if err != nil {
		return nil, err
	}
	if found {
		if s := p.revive(engine.Session{}, stored, true); s.Selects(r) {
			return p.enter(s)
		}
	}
	return p.Create(r)
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

// names bounds how many named sessions each user has, so that nobody fills memory and disk
// with those that they never come back for, and shuts the others out.
type names struct {
	census *census.Census
	limit  int // of a user

	mu      sync.Mutex // never held while the engine is asked: loops settle
	opening map[engine.SessionKey]*opening
}

// An opening is a session of whose name several may ask at once: it counts once.
type opening struct {
	askers int // who are admitted or wait for that, and are not settled yet
	made   bool

	asked chan struct{} // closed when the census has said whether it counts
	err   error         // why it does not
}

func newNames(store engine.SessionStore, limit int, now func() time.Time) *names {
	return &names{
		census: census.New(census.Options{Store: store, Limit: limit, Now: now, Kinds: 1, Kind: isNamed}),
		limit:  limit, opening: map[engine.SessionKey]*opening{},
	}
}

// isNamed tells of the one kind: what stands in STOMP's name has a slash in its own.
func isNamed(s *engine.Session) (kind int, ok bool) { return 0, !strings.Contains(s.Name, "/") }

// admit counts one more, or says why there must not be. It may block. Who is admitted
// settles it.
func (n *names) admit(ctx context.Context, s *engine.Session) error {
	o, first := n.open(s.Key)
	if first {
		o.err = n.count(ctx, s)
		if o.err != nil {
			n.close(s.Key)
		}
		close(o.asked)
	}
	<-o.asked
	return o.err
}

// open returns the opening of a session, and whether there was none before.
func (n *names) open(key engine.SessionKey) (o *opening, first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o, there := n.opening[key]
	if !there {
		o = &opening{asked: make(chan struct{})}
		n.opening[key] = o
	}
	o.askers++
	return o, !there
}

// close ends an opening that is refused.
func (n *names) close(key engine.SessionKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.opening, key)
}

func (n *names) count(ctx context.Context, s *engine.Session) error {
	ok, err := n.census.Admit(ctx, s, 0)
	if err == nil && !ok {
		err = message.Errorf(message.TooLarge, "%s has %d named sessions already (session.max_named): use their names (client) again, one a device; one that is not used for durable_ttl ends by itself", s.User, n.limit)
	}
	return err
}

// settle says whether who was admitted has made the session. Where nobody has, as it was
// there or there was no room, it does not count.
func (n *names) settle(s *engine.Session, made bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.opening[s.Key]
	o.askers--
	if o.made = o.made || made; o.askers > 0 {
		return
	}
	delete(n.opening, s.Key)
	if !o.made {
		n.census.Dropped(s, 0)
	}
}

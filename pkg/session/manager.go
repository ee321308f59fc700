package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Loop is what a part of the sessions lives on: a reactor.Loop.
type Loop interface {
	// Post runs f on the loop, after all that was posted before.
	Post(f func())
	// OnTurn runs f at the end of each turn, in the order of the calls.
	OnTurn(f func())
	// OnTick runs f about once a second.
	OnTick(f func(now time.Time))
}

// Limits bound what one client may cost. Zero fields take the defaults.
type Limits struct {
	TTL         time.Duration // of a session without a name, after its connection: 2 min
	EmptyTTL    time.Duration // of one that has no subscription either, if less: 10 s
	DurableTTL  time.Duration // of a named one: 30 days
	Window      int           // unacknowledged messages of a subscription: 256
	WindowBytes int           // unacknowledged bytes of a session: 1 MiB
	Channels    int           // of a session: 1,000
	Sessions    int           // of the process, detached ones included: 1,000,000
	Named       int           // of a user, stored ones included: 1,000
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Window, 256)
	def(&l.WindowBytes, 1<<20)
	def(&l.Channels, 1000)
	def(&l.Sessions, 1_000_000)
	def(&l.Named, 1000)
	if l.TTL == 0 {
		l.TTL = 2 * time.Minute
	}
	if l.EmptyTTL == 0 {
		l.EmptyTTL = 10 * time.Second
	}
	if l.DurableTTL == 0 {
		l.DurableTTL = 30 * 24 * time.Hour
	}
	return l
}

// Options are what a manager is made of. All but Limits are required.
type Options struct {
	Broker *broker.Broker
	Hub    *hub.Hub
	Loops  []Loop // those that the hub was made for, in the same order
	Limits Limits
	Logger logrus.FieldLogger
	Now    func() time.Time
}

// A Manager finds sessions by their names. Each session belongs to one Part and
// thereby to one loop, for as long as it is in memory.
type Manager struct {
	broker *broker.Broker
	limits Limits
	log    logrus.FieldLogger
	now    func() time.Time
	start  time.Time
	parts  []*Part

	nobody *owner // of all sessions that have none
	names  *names

	rechecks atomic.Uint64
	refused  struct{ sessions, named atomic.Uint64 } // by which limit

	mu       sync.Mutex
	sessions map[ID]*Session
}

// NewManager returns a manager with one part for each loop.
func NewManager(o Options) (*Manager, error) {
	if o.Broker == nil || o.Hub == nil || o.Logger == nil || o.Now == nil || len(o.Loops) == 0 {
		return nil, errors.New("session: broker, hub, loops, logger and clock are required")
	}
	m := &Manager{
		broker: o.Broker, limits: o.Limits.withDefaults(), log: o.Logger, now: o.Now,
		start:    o.Now().Add(-1), // so that no uptime is 0, which is never
		sessions: map[ID]*Session{}, nobody: &owner{},
	}
	m.names = newNames(o.Broker.Engine(), m.limits.Named, o.Now)
	for i, shard := range o.Hub.Shards() {
		m.parts = append(m.parts, newPart(m, o.Loops[i], shard, i))
	}
	return m, nil
}

// Parts returns the manager's parts, in the order of the loops.
func (m *Manager) Parts() []*Part { return m.parts }

// uptime returns for how long the manager has been there, which a clock that is set
// does not change.
func (m *Manager) uptime() time.Duration { return m.now().Sub(m.start) }

// Limits returns the limits in force.
func (m *Manager) Limits() Limits { return m.limits }

// Count returns how many sessions are in memory.
func (m *Manager) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}

// Find returns the session of that name, or nil. Whether somebody may have it is
// told by Session.Selects, on its part's loop.
func (m *Manager) Find(id string) *Session {
	parsed, ok := parseID(id)
	if !ok {
		return nil
	}
	return m.find(parsed)
}

func (m *Manager) find(id ID) *Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[id]
	if s != nil {
		s.sought = m.uptime()
	}
	return s
}

// enter puts s into the table, or returns the one that is there by that name.
func (m *Manager) enter(s *Session) (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if other := m.sessions[s.id]; other != nil {
		return other, nil
	}
	if len(m.sessions) >= m.limits.Sessions {
		m.refused.sessions.Add(1)
		return nil, message.Errorf(message.Unavailable, "the server holds %d sessions already (session.max_sessions); try again later", m.limits.Sessions)
	}
	m.sessions[s.id] = s
	return s, nil
}

// remove takes s out of the table, unless somebody has found it there within its
// time to live: that connection is on its way to the session.
func (m *Manager) remove(s *Session, up time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.sought != 0 && up-s.sought < s.ttl() {
		return false
	}
	delete(m.sessions, s.id)
	return true
}

// Recheck looks up again who the connected clients are and judges the rights of
// all their subscriptions. From when it returns, nothing is delivered that the
// rights in force do not allow.
func (m *Manager) Recheck(ctx context.Context) error {
	return m.RecheckWhere(ctx, func(*broker.Who) bool { return true })
}

// RecheckWhere is Recheck for those of the connected clients that concerned
// reports. It is called on their loops.
func (m *Manager) RecheckWhere(ctx context.Context, concerned func(*broker.Who) bool) error {
	m.rechecks.Add(1)
	all := newCountdown(len(m.parts))
	for _, p := range m.parts {
		p.loop.Post(func() {
			defer all.done()
			p.recheck(concerned, all)
		})
	}
	select {
	case <-all.zero:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Connected returns who the connected clients are, without the anonymous ones:
// one entry for each client.
func (m *Manager) Connected(ctx context.Context) (all []*broker.Who, err error) {
	parts := make(chan []*broker.Who, len(m.parts))
	for _, p := range m.parts {
		p.loop.Post(func() { parts <- p.connected() })
	}
	for range m.parts {
		select {
		case some := <-parts:
			all = append(all, some...)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}

// Rechecks returns how often Recheck was called. An identity that began to be
// proven before the last call may be one that is no more: it was not looked at
// if no session had it yet. Who compares that on the session's loop, right
// before Attach or SetWho, misses none.
func (m *Manager) Rechecks() uint64 { return m.rechecks.Load() }

// A countdown tells when everything is done. Where that never comes, for the
// loops have ended, nobody is left to wait for it.
type countdown struct {
	left atomic.Int64
	zero chan struct{}
}

func newCountdown(n int) *countdown {
	c := &countdown{zero: make(chan struct{})}
	c.add(n)
	return c
}

func (c *countdown) add(n int) { c.left.Add(int64(n)) }

func (c *countdown) done() {
	if c.left.Add(-1) == 0 {
		close(c.zero)
	}
}

// A Request is what a client asks for when it connects.
type Request struct {
	Who    *broker.Who
	ID     string // with Secret: of an earlier session
	Secret string
	Name   string // of a durable session
	Manual bool   // the application acknowledges
}

// Open finds or makes the session that r asks for and calls done on p's loop.
// The session may belong to another part: its connection must then move to that
// part's loop before Attach.
func (p *Part) Open(r Request, done func(*Session, error)) {
	switch {
	case r.Name != "":
		p.openNamed(r, done)
	case r.ID != "":
		p.openByID(r, done)
	default:
		done(p.Create(r))
	}
}

// Create makes a new session without a name, on this part.
func (p *Part) Create(r Request) (*Session, error) {
	owned := p.manager.nobody
	if realm, user := r.Who.Owner(); realm != "" || user != "" {
		owned = &owner{realm: realm, user: user}
	}
	return p.enter(&Session{id: newID(), owner: owned})
}

// enter makes s one of this part's sessions, unless there is one of its name.
func (p *Part) enter(s *Session) (*Session, error) {
	s.part = p
	entered, err := p.manager.enter(s)
	if err == nil && entered == s {
		s.detachedAt = p.manager.uptime()
		s.index = int32(len(p.sessions))
		p.sessions = append(p.sessions, s)
	}
	return entered, err
}

package local

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/seglog"
)

// A session is a stored session with what moved since. The sequencer owns it.
type session struct {
	engine.Session
	moved []bool // subscriptions whose cursors are not on disk
	dirty bool   // something of it is not on disk; then it is in the table's list of these
	dead  bool   // replaced or dropped
	place int    // in the table's list of all
}

// sessionTable holds all named sessions. The sequencer owns it.
type sessionTable struct {
	all   map[engine.SessionKey]*session
	list  []*session // all of them, in no order
	next  int        // place in list at which expire goes on
	moved []*session // dirty ones, and such as were
	armed bool       // the timer that forces a commit runs

	// held are those that a failed commit stores when it is written elsewhere. None is
	// in the table before; what moves meanwhile moves in both.
	held map[engine.SessionKey]*session
}

func newSessionTable() *sessionTable {
	return &sessionTable{all: map[engine.SessionKey]*session{}}
}

// expired reports whether s was not seen for its TTL. Without one it stays.
func expired(s *engine.Session, now int64) bool {
	return s.TTL > 0 && s.Seen+milliseconds(s.TTL) < now
}

func newSession(s engine.Session) *session {
	return &session{Session: s, moved: make([]bool, len(s.Subscriptions))}
}

// put takes s over, in place of what its key had.
func (t *sessionTable) put(s *session) {
	t.remove(s.Key)
	s.place = len(t.list)
	t.all[s.Key] = s
	t.list = append(t.list, s)
}

// hold notes what a failed commit stores later; nothing ends that.
func (t *sessionTable) hold(saves []*session) {
	t.held = make(map[engine.SessionKey]*session, len(saves))
	for _, s := range saves {
		t.held[s.Key] = s
	}
}

func (t *sessionTable) remove(key engine.SessionKey) {
	old := t.all[key]
	if old == nil {
		return
	}
	old.dead = true
	delete(t.all, key)
	end := len(t.list) - 1
	last := t.list[end]
	t.list[old.place], last.place = last, old.place
	t.list[end] = nil
	t.list = t.list[:end]
}

// move applies cursor moves that came at a time in memory; the next commit carries them.
func (t *sessionTable) move(e *Engine, moves []engine.CursorMove, at int64) {
	now := e.clock.look().due()
	for i := range moves {
		m := &moves[i]
		for _, s := range [...]*session{t.all[m.Key], t.held[m.Key]} {
			if s != nil && !expired(&s.Session, now) {
				t.moveOne(e, s, m, at)
			}
		}
	}
}

func (t *sessionTable) moveOne(e *Engine, s *session, m *engine.CursorMove, at int64) {
	s.Seen = max(s.Seen, at)
	if j := s.find(m); j >= 0 && e.advance(&s.Subscriptions[j].Cursor, m.Cursor) {
		s.moved[j] = true
	}
	if !s.dirty {
		s.dirty = true
		t.moved = append(t.moved, s)
	}
}

func (s *session) find(m *engine.CursorMove) int {
	if m.Channel == "" {
		return -1
	}
	return slices.IndexFunc(s.Subscriptions, func(sub engine.Subscription) bool {
		return sub.Channel == m.Channel && sub.ID == m.ID
	})
}

// dirty reports whether a cursor is not on disk.
func (t *sessionTable) dirty() bool {
	return slices.ContainsFunc(t.moved, func(s *session) bool { return s.dirty && !s.dead })
}

// arm reports whether the timer that forces a commit must be started.
func (t *sessionTable) arm() bool {
	if t.armed || !t.dirty() {
		return false
	}
	t.armed = true
	return true
}

// rideBytes is about how much of what moved goes into one batch. The rest waits for
// the next: all clients may come back at once, and a batch is bounded.
const rideBytes = 4 << 20

// ride adds what moved to the batch, as much as fits.
func (t *sessionTable) ride(c *commit) {
	n := 0
	for begin := c.batch.Len(); n < len(t.moved) && c.batch.Len()-begin < rideBytes; n++ {
		if s := t.moved[n]; s.dirty && !s.dead {
			s.ride(c)
		}
	}
	t.moved, t.armed = slices.Delete(t.moved, 0, n), false
}

// rideOne adds what moved of one session, before it is saved or dropped: that must
// come after the moves that it outdates.
func (t *sessionTable) rideOne(c *commit, key engine.SessionKey) {
	if s := t.all[key]; s != nil && s.dirty {
		s.ride(c)
	}
}

func (s *session) ride(c *commit) {
	c.batch.Add(nil, &seglog.Record{Type: typeMoves, Time: c.time}, s.appendMoves)
	c.cursors = append(c.cursors, s)
	s.dirty = false
	clear(s.moved)
}

// unride notes that a batch with moves was not written: all of their sessions'
// cursors are to be stored again.
func (t *sessionTable) unride(c *commit) {
	for _, s := range c.cursors {
		for i := range s.moved {
			s.moved[i] = true
		}
		if !s.dirty {
			s.dirty = true
			t.moved = append(t.moved, s)
		}
	}
}

func (s *session) appendMoves(b []byte) []byte {
	b = append(b, s.Key[:]...)
	b = appendInt(b, s.Seen)
	for i, moved := range s.moved {
		if !moved {
			continue
		}
		sub := &s.Subscriptions[i]
		b = appendString(appendString(b, sub.Channel), sub.ID)
		b = appendCursor(b, &sub.Cursor)
	}
	return b
}

// expireAtLeast and expireShare say at how many sessions a tick looks: at so many, and
// at one in so many of the rest. Nobody commits meanwhile, and who asks for a session is
// not told of an expired one anyway.
const (
	expireAtLeast = 1000
	expireShare   = 32
)

// expire forgets some of the sessions that were not seen for their TTL, and goes on with
// others the next time.
func (t *sessionTable) expire(now int64) {
	for range min(expireAtLeast+len(t.list)/expireShare, len(t.list)) {
		if t.next >= len(t.list) {
			t.next = 0
		}
		if s := t.list[t.next]; expired(&s.Session, now) {
			t.remove(s.Key) // another takes its place
		} else {
			t.next++
		}
	}
}

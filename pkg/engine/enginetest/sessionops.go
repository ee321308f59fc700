package enginetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// sessionCount is how many sessions there are at most.
const sessionCount = 4

func sessionKey(i int) engine.SessionKey { return engine.SessionKey{byte(i + 1), 15: byte(i)} }

func (g *generator) key() engine.SessionKey { return sessionKey(g.rng.IntN(sessionCount)) }

func (g *generator) save() {
	g.t.Helper()
	g.settleSaves([]*saving{g.saveSession(g.newSession())})
}

// publishSaving submits messages with a session or two, in several Submits at once.
func (g *generator) publishSaving() {
	g.t.Helper()
	var sent []*submission
	for range 1 + g.rng.IntN(3) {
		sent = append(sent, g.sendSaving(g.newSessions(), g.messages(g.rng.IntN(4))...))
	}
	g.settle(sent)
}

// newSessions returns some of different keys.
func (g *generator) newSessions() []engine.Session {
	sessions := []engine.Session{g.newSession()}
	if other := g.newSession(); other.Key != sessions[0].Key {
		sessions = append(sessions, other)
	}
	return sessions
}

// newSession returns a session with subscriptions somewhere in the past.
func (g *generator) newSession() engine.Session {
	g.serial++
	s := engine.Session{
		Key:     g.key(),
		Realm:   "chat",
		User:    "alice",
		Name:    fmt.Sprintf("s%d", g.serial),
		Secrets: [2][32]byte{{byte(g.serial)}, {0, byte(g.serial)}},
		TTL:     pick(g, 5*time.Second, 10*time.Minute, 24*time.Hour),
	}
	for _, name := range g.names() {
		if !g.chance(40) {
			continue
		}
		sub := engine.Subscription{Channel: name, ID: pick(g, "", "1"), Cursor: g.cursor(0)}
		if g.chance(30) {
			sub.Options = fmt.Appendf(nil, "options %d", g.serial)
		}
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	return s
}

// cursor returns a cursor above an offset, if there is room.
func (g *generator) cursor(above message.Offset) engine.Cursor {
	room := g.ledger.visible - min(above, g.ledger.visible)
	c := engine.Cursor{Position: message.Position{Epoch: g.ledger.epoch(), Offset: above + message.Offset(g.rng.Uint64N(uint64(room)+1))}}
	if g.chance(20) {
		c.Above = []message.Offset{c.Position.Offset + 1, c.Position.Offset + 3}
	}
	return c
}

// moves returns some moves: forwards, backwards, of what is not there.
func (g *generator) moves() (moves []engine.CursorMove) {
	for range 1 + g.rng.IntN(3) {
		m := engine.CursorMove{Key: g.key()}
		if s := g.ledger.sessions[m.Key]; s != nil && !s.dropped && len(s.current().Subscriptions) > 0 && !g.chance(10) {
			sub := pick(g, s.current().Subscriptions...)
			m.Channel, m.ID, m.Cursor = sub.Channel, sub.ID, g.next(sub.Cursor)
		} else if g.chance(50) {
			m.Channel, m.ID, m.Cursor = g.name(), "unknown", g.cursor(0)
		}
		// Two moves of one subscription in one call would be judged by the same
		// cursor here.
		if !slices.ContainsFunc(moves, func(o engine.CursorMove) bool { return o.Key == m.Key }) {
			moves = append(moves, m)
		}
	}
	return moves
}

// next returns a cursor that follows c, or one behind it.
func (g *generator) next(c engine.Cursor) engine.Cursor {
	if c.Position.Offset > 0 && g.chance(20) {
		return engine.Cursor{Position: message.Position{Epoch: g.ledger.epoch(), Offset: c.Position.Offset - 1}}
	}
	next := g.cursor(c.Position.Offset)
	if next.Position.Offset == c.Position.Offset {
		next.Position = c.Position
	}
	for _, o := range c.Above { // what was acknowledged once stays so
		if o > next.Position.Offset && !slices.Contains(next.Above, o) {
			next.Above = append(next.Above, o)
		}
	}
	slices.Sort(next.Above)
	return next
}

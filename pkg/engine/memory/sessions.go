package memory

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// Sessions are the stored sessions.
type Sessions map[engine.SessionKey]engine.Session

// Save stores a copy of session as seen at now.
func (s Sessions) Save(session engine.Session, now int64) {
	session.Seen = now
	s[session.Key] = clone(session)
}

// Get returns a copy of the session under key that is alive at now.
func (s Sessions) Get(key engine.SessionKey, now int64) (engine.Session, bool) {
	session, ok := s[key]
	if !ok || now-session.Seen > session.TTL.Milliseconds() {
		return engine.Session{}, false
	}
	return clone(session), true
}

// Move carries out one move at now. known tells whether a position is of this
// history: a cursor that is not gives way to any.
func (s Sessions) Move(move engine.CursorMove, now int64, known func(message.Position) bool) {
	session, ok := s.Get(move.Key, now)
	if !ok {
		return
	}
	session.Seen = max(session.Seen, now)
	for i := range session.Subscriptions {
		sub := &session.Subscriptions[i]
		if sub.Channel != move.Channel || sub.ID != move.ID {
			continue
		}
		if !known(sub.Cursor.Position) || ahead(move.Cursor, sub.Cursor) {
			sub.Cursor = cloneCursor(move.Cursor)
		}
	}
	s[move.Key] = session
}

// ahead reports whether a is not behind b.
func ahead(a, b engine.Cursor) bool {
	if a.Position.Offset != b.Position.Offset {
		return a.Position.Offset > b.Position.Offset
	}
	return len(a.Above) >= len(b.Above)
}

func clone(s engine.Session) engine.Session {
	s.Subscriptions = slices.Clone(s.Subscriptions)
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		sub.Cursor = cloneCursor(sub.Cursor)
		sub.Options = slices.Clone(sub.Options)
	}
	return s
}

func cloneCursor(c engine.Cursor) engine.Cursor {
	c.Above = slices.Clone(c.Above)
	return c
}

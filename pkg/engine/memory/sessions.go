package memory

import (
	"context"
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

// SaveSession is engine.SessionStore's.
func (e *Engine) SaveSession(s engine.Session, done func(error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.refusing()
	if err == nil {
		e.state.Sessions.Save(s, e.now())
	}
	e.outbox.add(func() { done(err) })
}

// DropSession is engine.SessionStore's.
func (e *Engine) DropSession(key engine.SessionKey, done func(error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.refusing()
	if err == nil {
		delete(e.state.Sessions, key)
	}
	e.outbox.add(func() { done(err) })
}

// MoveCursors is engine.SessionStore's.
func (e *Engine) MoveCursors(moves []engine.CursorMove) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	for _, move := range moves {
		e.state.Sessions.Move(move, e.now(), e.state.Known)
	}
}

// Session is engine.SessionStore's.
func (e *Engine) Session(ctx context.Context, key engine.SessionKey) (engine.Session, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readable(ctx); err != nil {
		return engine.Session{}, false, err
	}
	s, ok := e.state.Sessions.Get(key, e.now())
	return s, ok, nil
}

// Sessions is engine.SessionStore's. yield may call the engine.
func (e *Engine) Sessions(ctx context.Context, yield func(engine.Session) bool) error {
	sessions, err := e.liveSessions(ctx)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if !yield(s) {
			return nil
		}
	}
	return nil
}

func (e *Engine) liveSessions(ctx context.Context) ([]engine.Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readable(ctx); err != nil {
		return nil, err
	}
	var live []engine.Session
	for key := range e.state.Sessions {
		if s, ok := e.state.Sessions.Get(key, e.now()); ok {
			live = append(live, s)
		}
	}
	return live, nil
}

package local

import (
	"context"
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
)

func cloneCursor(c engine.Cursor) engine.Cursor {
	c.Above = slices.Clone(c.Above)
	return c
}

func cloneSession(s *engine.Session) engine.Session {
	own := *s
	own.Subscriptions = slices.Clone(s.Subscriptions)
	for i := range own.Subscriptions {
		sub := &own.Subscriptions[i]
		sub.Cursor = cloneCursor(sub.Cursor)
		sub.Options = slices.Clone(sub.Options)
	}
	return own
}

// stageSave adds a session to the batch, and who is to be told.
func (e *Engine) stageSave(c *commit, o *op) {
	if err := e.refusing.Load(); err != nil && e.seq.held != nil {
		c.answers = append(c.answers, answer{refused: err, done: o.done})
		return
	}
	e.stageSession(c, *o.save)
	c.answers = append(c.answers, answer{done: o.done})
}

func (e *Engine) stageSession(c *commit, s engine.Session) {
	e.seq.sessions.rideOne(c, s.Key)
	c.durable = true
	c.batch.Add(nil, &seglog.Record{Type: typeSession, Time: c.time}, func(b []byte) []byte { return appendSession(b, &s) })
	own := newSession(s)
	c.saves = append(c.saves, own)
	c.then = append(c.then, func() { e.seq.sessions.put(own) })
}

// stageDrop adds the end of a session to the batch.
func (e *Engine) stageDrop(c *commit, o *op) {
	if err := e.refusing.Load(); err != nil && e.seq.held != nil {
		c.answers = append(c.answers, answer{refused: err, done: o.done})
		return
	}
	key := *o.drop
	e.seq.sessions.rideOne(c, key)
	c.durable = true
	c.batch.Add(nil, &seglog.Record{Type: typeDrop, Time: c.time}, func(b []byte) []byte { return append(b, key[:]...) })
	c.then = append(c.then, func() { e.seq.sessions.remove(key) })
	c.answers = append(c.answers, answer{done: o.done})
}

// advance sets a cursor, but never backwards, and reports whether it changed.
func (e *Engine) advance(c *engine.Cursor, to engine.Cursor) bool {
	switch {
	case to.Position.Offset > c.Position.Offset, !e.knows(c.Position) && e.knows(to.Position):
		*c = to
		return true
	case to.Position.Offset < c.Position.Offset:
		return false
	}
	if len(to.Above) < len(c.Above) {
		return false
	}
	*c = to
	return true
}

// knows reports whether a position belongs to this history.
func (e *Engine) knows(p message.Position) bool {
	if p.Offset == 0 {
		return true
	}
	run, ok := e.runs[p.Epoch]
	return ok && (run.Last == 0 || p.Offset <= message.Offset(run.Last))
}

// restoreRecord applies one of the records that sessions write.
func (t *sessionTable) restoreRecord(e *Engine, rec *seglog.Record) error {
	r := &reader{b: rec.Body}
	switch rec.Type {
	case typeSession:
		s := r.session()
		if r.err == nil {
			t.put(newSession(s))
		}
	case typeDrop:
		var key engine.SessionKey
		copy(key[:], r.fixed(16))
		t.remove(key)
	case typeMoves:
		t.restoreMoves(e, r)
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("record of type %d: %w", rec.Type, err)
	}
	return nil
}

func (t *sessionTable) restoreMoves(e *Engine, r *reader) {
	var m engine.CursorMove
	copy(m.Key[:], r.fixed(16))
	s := t.all[m.Key]
	seen := int64(r.uvarint())
	for r.err == nil && len(r.b) > 0 {
		m.Channel, m.ID, m.Cursor = channelOf(r), r.string(), r.cursor()
		if s == nil {
			continue
		}
		if j := s.find(&m); j >= 0 {
			s.Subscriptions[j].Cursor = m.Cursor
		}
	}
	if s != nil {
		s.Seen = max(s.Seen, seen)
	}
}

// Session implements engine.SessionStore.
func (e *Engine) Session(ctx context.Context, key engine.SessionKey) (s engine.Session, ok bool, err error) {
	var found *engine.Session // a late call has it to itself
	err = e.call(ctx, func() {
		if s := e.seq.sessions.all[key]; s != nil && !expired(&s.Session, e.clock.look().due()) {
			own := cloneSession(&s.Session)
			found = &own
		}
	})
	if err != nil || found == nil {
		return engine.Session{}, false, err
	}
	return *found, true, nil
}

// Sessions implements engine.SessionStore.
func (e *Engine) Sessions(ctx context.Context, yield func(engine.Session) bool) error {
	var all []engine.Session
	err := e.call(ctx, func() {
		now := e.clock.look().due()
		for _, s := range e.seq.sessions.all {
			if !expired(&s.Session, now) {
				all = append(all, cloneSession(&s.Session))
			}
		}
	})
	if err != nil {
		return err
	}
	for i := range all {
		if !yield(all[i]) {
			break
		}
	}
	return nil
}

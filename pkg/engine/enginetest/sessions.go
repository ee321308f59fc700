package enginetest

import (
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
)

// A stored session is what the ledger knows of one. What is not sure is a range:
// a crash may take back the moves that no commit followed.
type stored struct {
	versions []version // the last is current; a crash may leave any of them
	unsure   bool      // a move came when it was not sure whether the session was still alive
	dropped  bool
}

// A version is a session as it was at one time. Its Seen is the clock then; an
// engine whose clock never runs backwards stores up to seenMax.
type version struct {
	engine.Session
	seenMax int64
}

func (s *stored) current() version { return s.versions[len(s.versions)-1] }

// saved returns a session that is saved now.
func (l *ledger) saved(s engine.Session) *stored {
	s = cloneSession(s)
	s.Seen = l.now
	return &stored{versions: []version{{s, l.latest}}}
}

// A saved session is what becomes of one with a submission.
type saved struct {
	key   engine.SessionKey
	after *stored
}

// savedWith enters the sessions of a submission that is stored.
func (l *ledger) savedWith(s *submission) {
	for _, v := range s.saves {
		unsaved := l.unsaved[v.key]
		if i := slices.Index(unsaved, v.after); i >= 0 && i+1 < len(unsaved) {
			l.unsaved[v.key] = unsaved[i+1:] // was asked for after it
		} else {
			delete(l.unsaved, v.key)
		}
		l.sessions[v.key] = v.after
	}
	if len(s.saves) > 0 {
		l.committed()
	}
}

// maybeSavedWith enters the sessions of a submission that may be stored, if it is
// not known by now.
func (l *ledger) maybeSavedWith(s *submission) {
	for _, v := range s.saves {
		if !s.found {
			l.unsaved[v.key] = append(l.unsaved[v.key], v.after)
		}
	}
}

// notSavedWith takes out the sessions of a submission whose messages are not
// stored.
func (l *ledger) notSavedWith(s *submission) {
	for _, v := range s.saves {
		l.unsaved[v.key] = slices.DeleteFunc(l.unsaved[v.key], func(o *stored) bool { return o == v.after })
	}
}

// move enters a cursor move.
func (l *ledger) move(m engine.CursorMove) {
	s := l.sessions[m.Key]
	for _, v := range l.unsaved[m.Key] {
		v.unsure = true
	}
	if s == nil || s.dropped || l.expired(s) {
		return
	}
	if !l.alive(s) {
		s.unsure = true
		return
	}
	next := version{cloneSession(s.current().Session), l.latest}
	next.Seen = l.now
	if i := subscription(next.Session, m.Channel, m.ID); i >= 0 && !behind(m.Cursor, next.Subscriptions[i].Cursor) {
		next.Subscriptions[i].Cursor = cloneCursor(m.Cursor)
	}
	s.versions = append(s.versions, next)
}

func subscription(s engine.Session, ch channel.Name, id string) int {
	return slices.IndexFunc(s.Subscriptions, func(sub engine.Subscription) bool { return sub.Channel == ch && sub.ID == id })
}

func behind(a, b engine.Cursor) bool {
	return a.Position.Offset < b.Position.Offset || a.Position.Offset == b.Position.Offset && len(a.Above) < len(b.Above)
}

// committed says that all moves so far are durable.
func (l *ledger) committed() {
	for _, s := range l.sessions {
		if len(s.versions) > 1 {
			s.versions = s.versions[len(s.versions)-1:]
		}
	}
}

// alive and expired report what is sure of a session; between them it is not.
func (l *ledger) alive(s *stored) bool {
	return l.latest-s.versions[0].Seen < s.current().TTL.Milliseconds()
}

func (l *ledger) expired(s *stored) bool {
	return l.now-s.current().seenMax > s.current().TTL.Milliseconds()
}

// session judges what Session returned.
func (l *ledger) session(key engine.SessionKey, got engine.Session, ok bool) error {
	s := l.sessions[key]
	switch {
	case len(l.unsaved[key]) > 0:
		return nil
	case s == nil || s.dropped:
		if ok {
			return fmt.Errorf("session %s is there, and was dropped or never saved", got.Name)
		}
		return nil
	case s.unsure:
		return nil
	case !ok && l.alive(s):
		return fmt.Errorf("session %s is gone", s.current().Name)
	case ok && l.expired(s):
		return fmt.Errorf("session %s outlives its TTL", got.Name)
	case !ok:
		return nil
	}
	return sameSession(s.current(), got)
}

// survived judges what Session returns in a new run, and adopts it.
func (l *ledger) survived(key engine.SessionKey, got engine.Session, ok bool) error {
	s := l.sessions[key]
	if s == nil {
		s = &stored{dropped: true}
	}
	err := s.allows(l, got, ok)
	for _, v := range l.unsaved[key] {
		if err == nil {
			break
		}
		s, err = v, v.allows(l, got, ok)
	}
	if err != nil {
		return fmt.Errorf("in a new run: %w", err)
	}
	delete(l.unsaved, key)
	switch {
	case s.unsure || s.dropped:
		l.sessions[key] = s
	case !ok:
		delete(l.sessions, key)
	default:
		l.sessions[key] = &stored{versions: []version{{cloneSession(got), got.Seen}}}
	}
	return nil
}

func (s *stored) allows(l *ledger, got engine.Session, ok bool) error {
	switch {
	case s.unsure || s.dropped && !ok:
		return nil
	case s.dropped:
		return fmt.Errorf("session %s is there, and was dropped or never saved", got.Name)
	case !ok && l.alive(s):
		return fmt.Errorf("session %s is gone", s.current().Name)
	case !ok:
		return nil
	}
	var err error
	for _, v := range s.versions {
		if err = sameSession(v, got); err == nil {
			return nil
		}
	}
	return fmt.Errorf("none of %d versions is there: %w", len(s.versions), err)
}

func sameSession(want version, got engine.Session) error {
	if got.Seen < want.Seen || got.Seen > want.seenMax {
		return fmt.Errorf("session %s was seen at %d, want %d to %d", got.Name, got.Seen, want.Seen, want.seenMax)
	}
	w, g := want.Session, got
	w.Seen, g.Seen = 0, 0
	w.Subscriptions, g.Subscriptions = nil, nil
	if fmt.Sprint(w) != fmt.Sprint(g) {
		return fmt.Errorf("session is %+v, want %+v", g, w)
	}
	if len(want.Subscriptions) != len(got.Subscriptions) {
		return fmt.Errorf("session %s has %d subscriptions, want %d", want.Name, len(got.Subscriptions), len(want.Subscriptions))
	}
	for _, sub := range want.Subscriptions {
		i := subscription(got, sub.Channel, sub.ID)
		if i < 0 || !sameSubscription(sub, got.Subscriptions[i]) {
			return fmt.Errorf("session %s has the subscriptions %+v, want %+v", want.Name, got.Subscriptions, want.Subscriptions)
		}
	}
	return nil
}

func sameSubscription(a, b engine.Subscription) bool {
	return a.Cursor.Position == b.Cursor.Position && slices.Equal(a.Cursor.Above, b.Cursor.Above) && string(a.Options) == string(b.Options)
}

func cloneSession(s engine.Session) engine.Session {
	s.Subscriptions = slices.Clone(s.Subscriptions)
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		sub.Cursor, sub.Options = cloneCursor(sub.Cursor), slices.Clone(sub.Options)
	}
	return s
}

func cloneCursor(c engine.Cursor) engine.Cursor {
	c.Above = slices.Clone(c.Above)
	return c
}

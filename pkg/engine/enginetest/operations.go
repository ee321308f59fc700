package enginetest

import (
	"fmt"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// read reads once and judges the answer.
func (b *bench) read(names []channel.Name, after message.Position, limit engine.Limit) engine.Batch {
	b.t.Helper()
	b.notef("read %v after %v limit %+v", names, after, limit)
	batch, err := b.tryRead(names, after, limit)
	b.check(err)
	b.notef("got %v gaps %+v through %d more %v", offsets(batch.Messages), batch.Gaps, batch.Through, batch.More)
	b.check(b.ledger.read(reading{names, after, limit, batch, b.engine.Status().Visible}))
	return batch
}

// tryRead reads; on a failing disk until one attempt succeeds, and until what it
// has of late submissions is in the ledger.
func (b *bench) tryRead(names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
	b.t.Helper()
	for {
		batch, err := b.engine.Read(b.t.Context(), names, after, limit)
		if !b.faulty {
			return batch, err
		}
		if err != nil {
			b.notef("read: %v", err)
			return b.engine.Read(b.t.Context(), names, after, limit)
		}
		if b.caughtUp(batch) {
			return batch, nil
		}
	}
}

// caughtUp waits for the tail to have what a batch has, and reports whether the
// ledger had all of it.
func (b *bench) caughtUp(batch engine.Batch) bool {
	b.t.Helper()
	before := b.ledger.visible
	if n := len(batch.Messages); n > 0 {
		b.check(b.tail.reach(batch.Messages[n-1].Offset, before))
	}
	b.settle(nil)
	return b.ledger.visible == before
}

// readAll reads page by page until there is no more.
func (b *bench) readAll(names []channel.Name, after message.Position, limit engine.Limit) {
	b.t.Helper()
	for {
		batch := b.read(names, after, limit)
		if !batch.More {
			return
		}
		if after.Offset == 0 && batch.Through == 0 {
			b.check(fmt.Errorf("a page that leads nowhere"))
		}
		after = message.Position{Epoch: batch.Epoch, Offset: batch.Through}
	}
}

func (b *bench) history(name channel.Name, before message.Offset, limit engine.Limit) {
	b.t.Helper()
	b.notef("history of %s before %d limit %+v", name, before, limit)
	batch, err := b.engine.History(b.t.Context(), name, before, limit)
	if err != nil && b.faulty {
		batch, err = b.engine.History(b.t.Context(), name, before, limit)
	}
	b.check(err)
	b.notef("got %v", offsets(batch.Messages))
	b.check(b.ledger.history(name, before, limit, batch))
}

func (b *bench) tip(name channel.Name) {
	b.t.Helper()
	if tip, ok := b.engine.Tip(name); ok {
		b.check(b.ledger.tip(name, tip))
	}
}

// audit reads everything there is.
func (b *bench) audit() {
	b.t.Helper()
	b.readAll(b.names(), message.Position{}, engine.Limit{})
	for _, name := range b.names() {
		b.tip(name)
	}
	b.auditSessions()
	b.check(b.status())
}

func (b *bench) status() error {
	s := b.engine.Status()
	if b.twice.Load() {
		return fmt.Errorf("a done was called twice")
	}
	if s.Epoch != b.ledger.epoch() || s.Visible < b.ledger.visible || s.Refusing != nil && !b.faulty {
		return fmt.Errorf("status %+v in run %v, where %d is visible", s, b.ledger.epoch(), b.ledger.visible)
	}
	return nil
}

// A saving is one SaveSession, or DropSession, under way.
type saving struct {
	key      engine.SessionKey
	after    *stored // what the ledger then has
	answered chan struct{}
	err      error
}

// saveSession saves a session and does not wait.
func (b *bench) saveSession(s engine.Session) *saving {
	b.notef("save session %+v", s)
	v := &saving{key: s.Key, after: b.ledger.saved(s), answered: make(chan struct{})}
	b.engine.SaveSession(cloneSession(s), v.done)
	return v
}

// dropSession drops a session and does not wait.
func (b *bench) dropSession(key engine.SessionKey) *saving {
	b.notef("drop session %x", key[:1])
	v := &saving{key: key, after: &stored{dropped: true}, answered: make(chan struct{})}
	b.engine.DropSession(key, v.done)
	return v
}

func (v *saving) done(err error) {
	v.err = err
	close(v.answered)
}

// settleSaves waits for the answers.
func (b *bench) settleSaves(saves []*saving) {
	b.t.Helper()
	for _, v := range saves {
		b.await(v.answered, "SaveSession or DropSession")
		b.notef("session %x: %v", v.key[:1], v.err)
		switch code := message.CodeOf(v.err); {
		case code == "":
			b.ledger.sessions[v.key] = v.after
			delete(b.ledger.unsaved, v.key)
			b.ledger.committed()
		case !b.faulty:
			b.check(fmt.Errorf("SaveSession or DropSession: %w", v.err))
		case code == message.Unknown:
			b.ledger.unsaved[v.key] = append(b.ledger.unsaved[v.key], v.after)
		case code != message.Unavailable:
			b.check(fmt.Errorf("SaveSession or DropSession on a failing disk: %w", v.err))
		}
	}
}

func (b *bench) move(moves ...engine.CursorMove) {
	b.notef("move cursors %+v", moves)
	b.engine.MoveCursors(moves)
	for _, m := range moves {
		b.ledger.move(m)
	}
}

func (b *bench) session(key engine.SessionKey) {
	b.t.Helper()
	s, ok, err := b.engine.Session(b.t.Context(), key)
	b.check(err)
	b.notef("session %x: %+v, %v", key[:1], s, ok)
	b.check(b.ledger.session(key, s, ok))
}

// learnSessions has the ledger adopt which of the versions that it allows a crash
// has left.
func (b *bench) learnSessions() {
	b.t.Helper()
	for i := range sessionCount {
		key := sessionKey(i)
		s, ok, err := b.engine.Session(b.t.Context(), key)
		b.check(err)
		b.check(b.ledger.survived(key, s, ok))
	}
}

// auditSessions compares all sessions.
func (b *bench) auditSessions() {
	b.t.Helper()
	listed := map[engine.SessionKey]engine.Session{}
	b.check(b.engine.Sessions(b.t.Context(), func(s engine.Session) bool {
		if _, twice := listed[s.Key]; twice {
			b.check(fmt.Errorf("session %s is listed twice", s.Name))
		}
		listed[s.Key] = s
		return true
	}))
	for i := range sessionCount {
		key := sessionKey(i)
		s, ok := listed[key]
		delete(listed, key)
		b.check(b.ledger.session(key, s, ok))
		b.session(key)
	}
	if len(listed) > 0 {
		b.check(fmt.Errorf("sessions that nobody saved: %v", listed))
	}
}

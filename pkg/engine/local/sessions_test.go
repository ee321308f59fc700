package local

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A handClock is a clock that is set by hand.
type handClock struct{ atomic.Int64 }

func newHandClock() *handClock {
	c := &handClock{}
	c.Store(1_700_000_000_000)
	return c
}

func (c *handClock) now() time.Time       { return time.UnixMilli(c.Load()) }
func (c *handClock) pass(d time.Duration) { c.Add(d.Milliseconds()) }

func save(t testing.TB, e *Engine, s engine.Session) {
	t.Helper()
	saved := make(chan error, 1)
	e.SaveSession(s, func(err error) { saved <- err })
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
}

// cursor returns where a session stands on its only subscription, and whether it
// is there at all.
func cursor(t testing.TB, e *Engine, key engine.SessionKey) (message.Offset, bool) {
	t.Helper()
	s, ok, err := e.Session(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return 0, false
	}
	return s.Subscriptions[0].Cursor.Position.Offset, true
}

func moveTo(e *Engine, key engine.SessionKey, to message.Offset) {
	at := message.Position{Epoch: e.epoch, Offset: to}
	e.MoveCursors([]engine.CursorMove{{Key: key, Channel: "/a/b", Cursor: engine.Cursor{Position: at}}})
}

func oneSubscription(key engine.SessionKey, ttl time.Duration) engine.Session {
	return engine.Session{Key: key, Name: "s", TTL: ttl, Subscriptions: []engine.Subscription{{Channel: "/a/b"}}}
}

// A clock that is set back by more than the TTL, a little or far, ends no session: neither
// one that is saved afterwards nor one whose client is there, in this run and the next.
func TestSessionsOutliveAClockSetBack(t *testing.T) {
	for _, by := range []time.Duration{2 * time.Minute, time.Hour} {
		var off atomic.Int64
		opts := Options{FS: vfs.NewMem(), wrong: func() time.Duration { return time.Duration(off.Load()) }}
		before, after := engine.SessionKey{1}, engine.SessionKey{2}
		e := open(t, opts)
		save(t, e, oneSubscription(before, time.Minute))
		last := publish(t, e, "/a/b", "x") // so that the latest time is on disk
		off.Store(int64(-by))
		for range 2 {
			save(t, e, oneSubscription(after, time.Minute))
			moveTo(e, after, last)
			moveTo(e, before, last)
			e.upkeep(t)
			for _, key := range []engine.SessionKey{before, after} {
				if at, ok := cursor(t, e, key); !ok || at != last {
					t.Errorf("by %v: session %x: there %v, at %d; want %d", by, key[:1], ok, at, last)
				}
			}
			if err := e.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			e = open(t, opts)
		}
	}
}

// A session's TTL is counted over restarts, from when its client was last seen.
func TestSessionTTLAcrossRestarts(t *testing.T) {
	clock := newHandClock()
	opts := Options{FS: vfs.NewMem(), Now: clock.now}
	seen, silent := engine.SessionKey{1}, engine.SessionKey{2}
	e := open(t, opts)
	last := publish(t, e, "/a/b", "x")
	save(t, e, oneSubscription(seen, time.Minute))
	save(t, e, oneSubscription(silent, time.Minute))
	for i := range 3 {
		clock.pass(40 * time.Second)
		moveTo(e, seen, last)
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		e = open(t, opts)
		if at, ok := cursor(t, e, seen); !ok || at != last {
			t.Fatalf("restart %d: the session that was seen: there %v, at %d; want %d", i, ok, at, last)
		}
		if _, ok := cursor(t, e, silent); ok != (i == 0) {
			t.Fatalf("restart %d: the session that was not seen is there: %v", i, ok)
		}
	}
	clock.pass(2 * time.Minute)
	if _, ok := cursor(t, e, seen); ok {
		t.Error("a session outlives its TTL")
	}
}

// Sessions that expire all are forgotten in the end, however many there are, a part at a
// time; those that do not stay.
func TestSessionsExpireByParts(t *testing.T) {
	table := newSessionTable()
	const n = 10 * expireAtLeast
	key := func(i int) engine.SessionKey { return engine.SessionKey{byte(i), byte(i >> 8)} }
	for i := range n {
		ttl := time.Minute
		if i%10 == 0 {
			ttl = 0
		}
		table.put(newSession(oneSubscription(key(i), ttl)))
		table.put(newSession(oneSubscription(key(i), ttl))) // it takes its own place
	}
	later := time.Hour.Milliseconds()
	table.expire(later)
	if left := len(table.all); left < n-expireAtLeast-n/expireShare || left == n {
		t.Fatalf("%d of %d are left after one tick", left, n)
	}
	for range 2 * expireShare {
		table.expire(later)
	}
	if len(table.all) != n/10 || len(table.list) != n/10 {
		t.Fatalf("%d and %d are left, want %d", len(table.all), len(table.list), n/10)
	}
	for i := 0; i < n; i += 10 {
		if s := table.all[key(i)]; s == nil || table.list[s.place] != s {
			t.Fatalf("%d is not in its place: %v", i, s)
		}
		table.remove(key(i))
	}
	table.expire(later)
}

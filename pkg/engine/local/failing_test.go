package local

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// While no sync succeeds nothing is acknowledged and nothing new is shown; what was
// accepted can be read. The batch that was being written is Unknown, all after it is
// refused. Once the disk takes something again, it is there and its key known.
func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	var fails atomic.Bool
	e := open(t, Options{FS: failingSyncs(&fails)})
	publishKeyed(t, e, 0)
	visible := e.Status().Visible
	fails.Store(true)
	for i, want := range []message.Code{message.Unknown, message.Unavailable, message.Unavailable} {
		_, err := engine.Publish(t.Context(), e, keyedMessage(1+i))
		if message.CodeOf(err) != want {
			t.Errorf("publish %d: %v; want %s", i, err, want)
		}
		e.upkeep(t) // tries to go on elsewhere
		if texts, _ := readAll(t, e, "/a/b", message.Position{}); fmt.Sprint(texts) != "[0]" || e.Status().Visible != visible {
			t.Errorf("publish %d: %v can be read, up to %d", i, texts, e.Status().Visible)
		}
		if e.Status().Refusing == nil {
			t.Error("the status does not say that publishes are refused")
		}
	}
	if _, err := engine.Publish(t.Context(), e, keyedMessage(0)); err != nil {
		t.Errorf("a retry of what is stored: %v", err)
	}
	if err := submitSaving(e, []engine.Session{{Key: engine.SessionKey{1}}}, keyedMessage(0)); message.CodeOf(err) != message.Unavailable {
		t.Errorf("the same with a session: %v", err)
	}
	fails.Store(false)
	e.upkeep(t)
	if _, ok, err := e.Session(t.Context(), engine.SessionKey{1}); ok || err != nil {
		t.Errorf("the session that was refused is there: %v, %v", ok, err)
	}
	if err := e.Status().Refusing; err != nil {
		t.Fatal(err)
	}
	if r := publishKeyed(t, e, 1); !r[0].Duplicate {
		t.Errorf("the batch that failed was given up, and is stored again: %+v", r)
	}
	publishKeyed(t, e, 2)
	if texts, gaps := readAll(t, e, "/a/b", message.Position{}); fmt.Sprint(texts) != "[0 1 2]" || len(gaps) > 0 {
		t.Errorf("%v can be read, gaps %v", texts, gaps)
	}
}

// failingSyncs is a disk on which no sync succeeds while fails is set.
func failingSyncs(fails *atomic.Bool) *vfs.Fault {
	return &vfs.Fault{FS: vfs.NewMem(), Hook: func(op vfs.Op) (int, error) {
		if fails.Load() && strings.HasPrefix(op.Kind, "sync") {
			return 0, syscall.EIO
		}
		return 0, nil
	}}
}

// Where cursors alone were being written when the disk failed, every key is as sure as
// it was.
func TestKeysWhileCursorsAreHeld(t *testing.T) {
	var fails atomic.Bool
	e := open(t, Options{FS: failingSyncs(&fails)})
	key := engine.SessionKey{1}
	save(t, e, oneSubscription(key, time.Hour))
	stored := publishKeyed(t, e, 0)
	fails.Store(true)
	moveTo(e, key, stored[0].Offset)
	e.upkeep(t)
	if e.Status().Refusing == nil {
		t.Fatal("the disk did not fail")
	}
	if r := publishKeyed(t, e, 0); !r[0].Duplicate || r[0].Offset != stored[0].Offset {
		t.Errorf("a retry of what is stored: %+v; was %+v", r, stored)
	}
	fails.Store(false)
	e.upkeep(t)
	if at, ok := cursor(t, e, key); !ok || at != stored[0].Offset {
		t.Errorf("the session is there: %v, at %d", ok, at)
	}
}

// A session whose storing failed is stored when the disk takes something again: with the
// cursors that moved meanwhile, and only so far as they moved; then they are on the disk.
func TestCursorsMoveWhileASessionIsHeld(t *testing.T) {
	var fails atomic.Bool
	fault := failingSyncs(&fails)
	e := open(t, Options{FS: fault})
	key, other := engine.SessionKey{1}, engine.SessionKey{2}
	at := func(o message.Offset) engine.Session {
		s := oneSubscription(key, time.Hour)
		s.Subscriptions[0].Cursor.Position = message.Position{Epoch: e.epoch, Offset: o}
		return s
	}
	for i := range 30 {
		publish(t, e, "/a/b", fmt.Sprint(i))
	}
	save(t, e, at(5))
	check := func(what string, key engine.SessionKey, want message.Offset) {
		t.Helper()
		if got, ok := cursor(t, e, key); !ok || got != want {
			t.Errorf("%s: the session is there: %v, at %d; want %d", what, ok, got, want)
		}
	}
	fails.Store(true)
	s := at(10)
	fresh := at(7)
	fresh.Key = other // of which nothing is stored yet
	if err := submitSaving(e, []engine.Session{s, fresh}, keyedMessage(100)); message.CodeOf(err) != message.Unknown {
		t.Fatalf("the save: %v", err)
	}
	check("while it is held", key, 5)
	moveTo(e, key, 20)
	moveTo(e, key, 15)
	moveTo(e, other, 21)
	check("moved", key, 20)
	fails.Store(false)
	e.upkeep(t)
	check("repaired", key, 20)
	check("repaired", other, 21)
	moveTo(e, key, 22)
	e.upkeep(t)
	fault.PowerOff()
	_ = e.Close(t.Context())
	e = open(t, Options{FS: fault.FS.(*vfs.Mem).Crash(rand.New(rand.NewPCG(1, 1)), 0)})
	check("after a crash", key, 22)
	check("after a crash", other, 21)
}

func submitSaving(e *Engine, sessions []engine.Session, msgs ...message.Message) error {
	answer := make(chan error, 1)
	e.SubmitSaving(msgs, sessions, func(_ []engine.Receipt, err error) { answer <- err })
	return <-answer
}

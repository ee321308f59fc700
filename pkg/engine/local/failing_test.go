package local

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// While no sync succeeds nothing is acknowledged and nothing new is shown; what was
// accepted can be read. The batch that was being written is Unknown, all after it is
// refused. Once the disk takes something again, it is there and its key known.
func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	var fails atomic.Bool
	fault := &vfs.Fault{FS: vfs.NewMem(), Hook: func(op vfs.Op) (int, error) {
		if fails.Load() && strings.HasPrefix(op.Kind, "sync") {
			return 0, syscall.EIO
		}
		return 0, nil
	}}
	e := open(t, Options{FS: fault})
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
	if err := submitSaving(e, engine.Session{Key: engine.SessionKey{1}}, keyedMessage(0)); message.CodeOf(err) != message.Unavailable {
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

func submitSaving(e *Engine, s engine.Session, msgs ...message.Message) error {
	answer := make(chan error, 1)
	e.SubmitSaving(msgs, []engine.Session{s}, func(_ []engine.Receipt, err error) { answer <- err })
	return <-answer
}

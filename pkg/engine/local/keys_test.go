package local

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// publishKeyed publishes messages of these numbers as one batch.
func publishKeyed(t testing.TB, e *Engine, numbers ...int) []engine.Receipt {
	t.Helper()
	var msgs []message.Message
	for _, i := range numbers {
		msgs = append(msgs, keyedMessage(i))
	}
	r, err := engine.Publish(t.Context(), e, msgs...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The power goes after the checkpoint of a clean stop and before the mark that says
// that the last batch was synced: that batch is written anew at the next start,
// where the checkpoint has its keys already. They must not count twice, or older
// ones are forgotten for them.
func TestKeysOfTheLastBatchCountOnce(t *testing.T) {
	mem := vfs.NewMem()
	fault := &vfs.Fault{FS: mem}
	saved := false
	fault.Hook = func(op vfs.Op) (int, error) {
		if saved && op.Kind == "write" {
			return 0, vfs.ErrPowerOff
		}
		saved = saved || op.Kind == "rename" && strings.HasPrefix(op.Name, "checkpoint")
		return 0, nil
	}
	opts := Options{FS: fault, KeyCount: 5}
	e := open(t, opts)
	first := publishKeyed(t, e, 0, 1)
	first = append(first, publishKeyed(t, e, 2, 3, 4)...)
	if err := e.Close(t.Context()); err == nil || !saved {
		t.Fatalf("the power did not go: %v, %v", saved, err)
	}
	for run := range 3 {
		opts.FS = mem.Crash(rand.New(rand.NewPCG(1, uint64(run))), 0)
		mem = opts.FS.(*vfs.Mem)
		e = open(t, opts)
		for i, r := range publishKeyed(t, e, 0, 1, 2, 3, 4) {
			if !r.Duplicate || r.Offset != first[i].Offset {
				t.Errorf("run %d: key %d: %+v, was %+v", run, i, r, first[i])
			}
		}
	}
}

package enginetest_test

import (
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/enginetest"
	"github.com/orbitd/orbitd/pkg/engine/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryWorld is a world whose disk is the engine before.
type memoryWorld struct{ last *memory.Engine }

func newMemoryWorld(testing.TB) enginetest.World { return &memoryWorld{} }

func (w *memoryWorld) Open(o enginetest.Options) (engine.Engine, error) {
	options := memory.Options{Now: o.Now, KeyWindow: o.KeyWindow, KeyCount: o.KeyCount, Rules: o.Rules}
	if w.last == nil {
		w.last = memory.New(options)
	} else {
		w.last = w.last.Restart(options)
	}
	return w.last, nil
}

func (*memoryWorld) Crash(*rand.Rand) {}

func TestMemory(t *testing.T) { enginetest.Run(t, newMemoryWorld) }

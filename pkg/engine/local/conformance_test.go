package local

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/enginetest"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(testing.TB) enginetest.World { return newWorld() })
}

// world is a crashable folder in memory. Its segments are small, so that a few
// messages fill one.
type world struct {
	mem *vfs.Mem

	mu     sync.Mutex
	fault  *vfs.Fault
	failIn int // operations until one fails; 0: none does
	nth    int
	fired  bool
}

func newWorld() *world { return &world{mem: vfs.NewMem()} }

func (w *world) Open(o enginetest.Options) (engine.Engine, error) {
	w.fault = &vfs.Fault{FS: w.mem, Hook: w.hook}
	e, err := Open(Options{
		FS: w.fault, Now: o.Now, KeyWindow: o.KeyWindow, KeyCount: o.KeyCount, Rules: o.Rules, SegmentSize: 4 << 10,
		checkpointEvery: 8 << 10, Grace: -1, ChannelCount: 2,
	})
	if err != nil {
		return nil, err
	}
	if w.nth > 0 {
		return e, nil
	}
	return &kept{Engine: e}, nil
}

// kept is an engine that does what it does every second more often. It is not
// for a failing disk: the suite takes it that what failed does not come back
// within the run.
type kept struct {
	*Engine
	n atomic.Int32
}

func (k *kept) Submit(msgs []message.Message, done func([]engine.Receipt, error)) {
	if k.n.Add(1)%8 == 0 {
		_ = k.queue.put(op{call: k.tickNow})
	}
	k.Engine.Submit(msgs, done)
}

func (w *world) Crash(rng *rand.Rand) {
	w.fault.PowerOff()
	keep := [...]float64{0, 0.25, 0.5, 0.9, 1}[rng.IntN(5)]
	w.mem = w.mem.Crash(rng, keep)
}

func (w *world) FailAt(n int) func() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failIn, w.nth, w.fired = n, n, false
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.fired
	}
}

// hook fails one operation, each in one of the ways in which disks do.
func (w *world) hook(op vfs.Op) (short int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failIn == 0 {
		return 0, nil
	}
	if w.failIn--; w.failIn > 0 {
		return 0, nil
	}
	w.fired = true
	if w.nth%3 == 0 && (op.Kind == "write" || op.Kind == "create") {
		return w.nth % 700, syscall.ENOSPC
	}
	return w.nth % 90, syscall.EIO
}

package local

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/enginetest"
)

// A killedWorld is a real folder with an engine in a process of its own, whose
// crash is SIGKILL. When it comes is up to chance: a seed does not say it.
type killedWorld struct {
	dir   string
	fault string
	rng   *rand.Rand
	kills *atomic.Int64
	known map[channel.Name]bool // channels that may be in the log
	child *proxy
}

func newKilledWorld(t testing.TB, fault string, seed uint64, kills *atomic.Int64) *killedWorld {
	w := &killedWorld{dir: t.TempDir(), fault: fault, rng: rand.New(rand.NewPCG(seed, 3)), kills: kills, known: map[channel.Name]bool{}}
	t.Cleanup(func() {
		if w.child != nil {
			w.child.kill()
		}
	})
	return w
}

// Open starts a child. Some are killed while they open the engine; their part of
// the log counts for the next.
func (w *killedWorld) Open(o enginetest.Options) (engine.Engine, error) {
	if w.child != nil {
		if err := w.leave(); err != nil {
			return nil, err
		}
	}
	for w.rng.IntN(3) == 0 {
		if err := w.start(o); err != nil {
			return nil, err
		}
		w.request(o, func(response) {})
		w.kill(w.rng)
	}
	if err := w.start(o); err != nil {
		return nil, err
	}
	opened := make(chan response, 1)
	w.request(o, func(a response) { opened <- a })
	if a := <-opened; !a.OK {
		return nil, a.Err
	}
	return w.child, nil
}

// leave ends the child of the engine before.
func (w *killedWorld) leave() error {
	for name := range w.child.known {
		w.known[name] = true
	}
	child := w.child
	w.child = nil
	select {
	case <-child.gone: // it was killed
		return nil
	default:
		return child.end()
	}
}

func (w *killedWorld) start(o enginetest.Options) (err error) {
	w.child, err = startChild(w.fault, o.Now, o.Rules)
	return err
}

// request asks the child to open the engine.
func (w *killedWorld) request(o enginetest.Options, done func(response)) {
	names := make([]channel.Name, 0, len(w.known))
	for name := range w.known {
		names = append(names, name)
	}
	w.child.send(&request{Kind: "Open", Open: openRequest{w.dir, o.KeyWindow, o.KeyCount}}, done, names...)
}

// Crash kills the child, now and then while it closes the engine.
func (w *killedWorld) Crash(rng *rand.Rand) {
	if rng.IntN(4) == 0 {
		w.child.send(&request{Kind: "Close"}, func(response) {})
	}
	w.kill(rng)
}

// kill kills the child after a moment in which it may do something or nothing.
func (w *killedWorld) kill(rng *rand.Rand) {
	if n := rng.IntN(3); n > 0 {
		time.Sleep(time.Duration(rng.IntN(n * n * int(time.Millisecond))))
	}
	w.kills.Add(1)
	w.child.kill()
}

// killedSeeds returns how many seeds to run; ORBITD_TEST_KILLED_SEEDS asks for
// another number.
func killedSeeds(t *testing.T) int {
	if s := os.Getenv("ORBITD_TEST_KILLED_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 4
	}
	return 40
}

// TestKilled runs the conformance suite's random operations against an engine in
// a process that is killed with SIGKILL, again and again on one folder.
func TestKilled(t *testing.T) {
	var kills atomic.Int64
	t.Run("differential", func(t *testing.T) {
		for seed := range killedSeeds(t) {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				enginetest.Differential(t, newKilledWorld(t, nothing, uint64(seed), &kills), uint64(seed))
			})
		}
	})
	t.Logf("%d processes were killed", kills.Load())
	if kills.Load() == 0 {
		t.Error("no process was killed")
	}
}

// TestKilledInvariants has each test of an invariant kill processes where it cuts
// the power.
func TestKilledInvariants(t *testing.T) {
	if testing.Short() {
		t.Skip("TestKilled is enough")
	}
	var kills atomic.Int64
	t.Run("all", func(t *testing.T) {
		enginetest.Invariants(t, func(t testing.TB) enginetest.World { return newKilledWorld(t, nothing, 1, &kills) })
	})
	t.Logf("%d processes were killed", kills.Load())
}

// A failingTest is one that is to fail.
type failingTest struct {
	*testing.T
	failure string
}

func (*failingTest) Logf(string, ...any) {}

func (f *failingTest) Fatalf(format string, args ...any) {
	f.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TestKilledCatches makes sure that a child which answers before it writes is
// found out.
func TestKilledCatches(t *testing.T) {
	var kills atomic.Int64
	for seed := range uint64(40) {
		f := &failingTest{T: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			enginetest.Differential(f, newKilledWorld(t, writeBehind, seed, &kills), seed)
		}()
		<-done
		if f.failure != "" {
			first, _, _ := strings.Cut(f.failure, "\n")
			t.Logf("seed %d, after %d kills: %s", seed, kills.Load(), first)
			return
		}
	}
	t.Errorf("%d kills did not show it", kills.Load())
}

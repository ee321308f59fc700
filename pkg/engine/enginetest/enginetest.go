package enginetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
)

// A World is a disk and the engines that are opened on it, one after the other.
type World interface {
	// Open opens an engine on what the disk holds.
	Open(Options) (engine.Engine, error)

	// Crash cuts the power: from now on nothing that the open engine does changes
	// the disk, its file operations fail, and a random part of what was not synced
	// stays. The suite closes that engine afterwards, which must end its
	// goroutines and call every outstanding done; then it opens the next.
	Crash(rng *rand.Rand)
}

// A Faulty world can make file operations fail.
type Faulty interface {
	World
	// FailAt makes the nth file operation from now fail, once, and none if n is
	// zero. fired tells whether it came to that.
	FailAt(n int) (fired func() bool)
}

// A Factory returns a world with an empty disk. It cleans up by t.Cleanup.
type Factory func(t testing.TB) World

// Options is what an engine is opened with.
type Options struct {
	Now       func() time.Time
	KeyWindow time.Duration
	KeyCount  int
	Rules     func(channel.Name) engine.Rule
}

// How many seeds the differential test runs, and how many operations in each.
const (
	Seeds      = 2000
	ShortSeeds = 100
	Operations = 200
)

// T is what the suite needs of a *testing.T; the suite's own tests put something
// in its place that expects failures.
type T interface {
	Helper()
	Name() string
	Context() context.Context
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Run runs the whole suite against engines of the factory's worlds.
func Run(t *testing.T, factory Factory) {
	Invariants(t, factory)
	t.Run("5_cursors_within_a_second", func(t *testing.T) {
		t.Parallel()
		cursorsWithinASecond(t, factory)
	})
	t.Run("6_nth_operation_fails", func(t *testing.T) {
		t.Parallel()
		failEvery(t, factory)
	})
	t.Run("differential", func(t *testing.T) {
		for seed := range seeds(t) {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				Differential(t, factory(t), uint64(seed))
			})
		}
	})
}

// Invariants runs the tests of the single invariants, but for those that make
// file operations fail or wait for the engine's timers.
func Invariants(t *testing.T, factory Factory) {
	for _, inv := range invariants() {
		t.Run(inv.name, func(t *testing.T) {
			t.Parallel()
			inv.test(t, factory(t))
		})
	}
}

// seeds returns how many seeds to run. ENGINETEST_SEEDS asks for another number.
func seeds(t *testing.T) int {
	if s := os.Getenv("ENGINETEST_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("ENGINETEST_SEEDS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return ShortSeeds
	}
	return Seeds
}

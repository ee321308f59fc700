package enginetest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// An expecting T takes a failure for what is wanted.
type expecting struct {
	*testing.T
	failure string
}

func (*expecting) Logf(string, ...any) {}

func (e *expecting) Fatalf(format string, args ...any) {
	e.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// caught runs test on a goroutine that a failure ends, and returns the failure's
// first line.
func caught(t *testing.T, test func(T)) string {
	e := &expecting{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(e)
	}()
	<-done
	first, _, _ := strings.Cut(e.failure, "\n")
	return first
}

func newBuggyWorld(p plant) World {
	return &buggyWorld{plant: p, keys: map[string]bool{}, hidden: map[string]bool{}}
}

// A fortieth of all seeds must do to catch each bug.
const seedsToCatch = Seeds / 40

func TestSuiteCatches(t *testing.T) {
	for name, p := range plants() {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			for _, inv := range invariants() {
				if failure := caught(t, func(e T) { inv.test(e, newBuggyWorld(p)) }); failure != "" {
					t.Logf("%s: %s", inv.name, failure)
				}
			}
			catches, why := 0, ""
			for seed := range uint64(seedsToCatch) {
				if failure := caught(t, func(e T) { Differential(e, newBuggyWorld(p), seed) }); failure != "" {
					catches++
					why = failure
				}
			}
			t.Logf("%d of %d seeds: %s", catches, seedsToCatch, why)
			if catches == 0 {
				t.Errorf("no seed caught it")
			}
		})
	}
}

// TestSuiteAcceptsPlain makes sure that what catches the bugs is the bugs, not
// what they are planted with.
func TestSuiteAcceptsPlain(t *testing.T) {
	for _, inv := range invariants() {
		if failure := caught(t, func(e T) { inv.test(e, newBuggyWorld(plant{})) }); failure != "" {
			t.Errorf("%s: %s", inv.name, failure)
		}
	}
	for seed := range uint64(20) {
		if failure := caught(t, func(e T) { Differential(e, newBuggyWorld(plant{}), seed) }); failure != "" {
			t.Errorf("seed %d: %s", seed, failure)
		}
	}
}

package enginetest

import (
	"sync"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A faultyWorld is a memory world in which the nth Submit or SaveSession fails as
// on a bad disk. verdict says how.
type faultyWorld struct {
	World
	verdict func(p planted, store func(), fail func(message.Code))

	mu    sync.Mutex
	n     int
	fired bool
}

func (w *faultyWorld) FailAt(n int) func() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n, w.fired = n, false
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.fired
	}
}

func (w *faultyWorld) fails() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	w.fired = w.fired || w.n == 0
	return w.n == 0
}

func newFaultyWorld(verdict func(p planted, store func(), fail func(message.Code))) World {
	w := &faultyWorld{verdict: verdict}
	w.World = newBuggyWorld(plant{
		submit: func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
			if !w.fails() {
				p.Engine.Submit(msgs, done)
				return
			}
			w.verdict(p, func() { p.Engine.Submit(msgs, func([]engine.Receipt, error) {}) }, func(code message.Code) {
				p.Engine.Submit(nil, func([]engine.Receipt, error) { done(nil, message.Errorf(code, "the disk fails")) })
			})
		},
		save: func(p planted, s engine.Session, done func(error)) {
			if !w.fails() {
				p.Engine.SaveSession(s, done)
				return
			}
			w.verdict(p, func() { p.Engine.SaveSession(s, func(error) {}) }, func(code message.Code) {
				p.Engine.Submit(nil, func([]engine.Receipt, error) { done(message.Errorf(code, "the disk fails")) })
			})
		},
	})
	return w
}

// TestFaultsAccepted runs every failure in each way in which it may end.
func TestFaultsAccepted(t *testing.T) {
	for name, verdict := range map[string]func(p planted, store func(), fail func(message.Code)){
		"refused":            func(_ planted, _ func(), fail func(message.Code)) { fail(message.Unavailable) },
		"unknown_and_lost":   func(_ planted, _ func(), fail func(message.Code)) { fail(message.Unknown) },
		"unknown_and_stored": func(_ planted, store func(), fail func(message.Code)) { store(); fail(message.Unknown) },
		"stored_afterwards":  func(_ planted, store func(), fail func(message.Code)) { fail(message.Unknown); store() },
	} {
		t.Run(name, func(t *testing.T) {
			n := 1
			for FailNth(t, newFaultyWorld(verdict), n) {
				n++
			}
			if n < 20 {
				t.Errorf("the workload met only %d failures", n-1)
			}
		})
	}
}

// TestFaultsCaught has an engine say that what it stored was not, and lose what
// it had before the failure.
func TestFaultsCaught(t *testing.T) {
	for name, verdict := range map[string]func(p planted, store func(), fail func(message.Code)){
		"stored_what_it_refused": func(_ planted, store func(), fail func(message.Code)) { store(); fail(message.Unavailable) },
		"no_code":                func(_ planted, _ func(), fail func(message.Code)) { fail(message.Internal) },
		"unreadable_afterwards": func(p planted, _ func(), fail func(message.Code)) {
			b, _ := p.Engine.Read(t.Context(), []channel.Name{logA}, message.Position{}, engine.Limit{})
			p.world.mu.Lock()
			for _, m := range b.Messages {
				p.world.hide(m)
			}
			p.world.mu.Unlock()
			fail(message.Unavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			failure := caught(t, func(e T) { FailNth(e, newFaultyWorld(verdict), 5) })
			t.Log(failure)
			if failure == "" {
				t.Error("not caught")
			}
		})
	}
}

package enginetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// failEvery runs one workload again and again, with the first file operation
// failing, the second, and so on, until the workload ends before the failure.
// Under -short it takes every tenth.
func failEvery(t *testing.T, factory Factory) {
	if _, ok := factory(t).(Faulty); !ok {
		t.Skip("this world cannot make file operations fail")
	}
	step := 1
	if testing.Short() {
		step = 10
	}
	for n := 1; ; n += step {
		fired := false
		t.Run(fmt.Sprintf("n=%d", n), func(t *testing.T) {
			fired = FailNth(t, factory(t), n)
		})
		if !fired || t.Failed() {
			return
		}
	}
}

// FailNth runs the workload on a Faulty world with the nth file operation
// failing. It reports whether it came to that.
func FailNth(t T, world World, n int) bool {
	t.Helper()
	fired := world.(Faulty).FailAt(n)
	b := plainBench(t, world)
	b.faulty = true
	b.open()
	b.begin()
	defer func() { _ = b.close() }() // again, where the test ended early
	b.work("first")
	b.restart()
	b.work("second")
	b.crash(rand.New(rand.NewPCG(uint64(n), 0)), nil, nil)
	b.work("third")
	b.restart()
	met := fired()
	world.(Faulty).FailAt(0)
	b.restart()
	b.faulty = false // the one failure is over, and this engine never met it
	b.publish(one(text(logA, "all is well")))
	b.finish()
	return met
}

// work does a little of everything.
func (b *bench) work(name string) {
	b.t.Helper()
	key := withKey(text(logA, name+" keyed"), name)
	for i := range 4 {
		b.publish(one(text(logA, fmt.Sprint(name, i))), []message.Message{text(logB, fmt.Sprint(name, i)), text(ringA, fmt.Sprint(name, i)), text(logA, fmt.Sprint(name, i, "+"))})
		b.publish(one(key)) // the first attempt or a retry, after whatever answer
		b.settleSaves([]*saving{b.saveSession(b.workSession(i))})
		b.settle([]*submission{b.sendSaving([]engine.Session{b.workSession(i + 1)}, withKey(text(logB, name+" saving"), name+" saving"))})
		b.move(engine.CursorMove{Key: sessionKey(0), Channel: logA, Cursor: engine.Cursor{Position: message.Position{Epoch: b.ledger.epoch(), Offset: b.ledger.visible}}})
		b.tick(100 * time.Millisecond)
		b.audit() // what was accepted stays readable
	}
	b.settleSaves([]*saving{b.dropSession(sessionKey(1))})
}

func (b *bench) workSession(i int) engine.Session {
	return engine.Session{Key: sessionKey(i % 2), Name: fmt.Sprint(i), TTL: time.Hour, Subscriptions: []engine.Subscription{{Channel: logA}}}
}

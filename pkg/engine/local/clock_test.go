package local

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A clock that jumps, or is wrong when the engine starts, makes messages expire;
// but nothing is removed from the disk until somebody had time to set it right.
// When it is right again they are there again after a restart.
func TestWrongClockDestroysNothing(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted=", restarted), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { wrongClock(t, restarted) })
		})
	}
}

func wrongClock(t *testing.T, restarted bool) {
	const n, age = 120, 8 * time.Hour
	mem := vfs.NewMem()
	var wrong atomic.Int64 // nanoseconds; the engine's own goroutine asks
	opts := Options{
		FS: mem, Now: func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }, SegmentSize: 4 << 10, checkpointEvery: 1,
		Rules: func(channel.Name) engine.Rule { return engine.Rule{Age: age} },
	}
	start := func() *Engine {
		e, err := Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
	shut := func(e *Engine) {
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	e := start()
	for i := range n {
		publish(t, e, "/a/b", fmt.Sprintf("%d %0100d", i, 0))
		if i%(n/4) == 0 {
			pass(2 * time.Second) // for a checkpoint
		}
	}
	pass(5 * time.Second)
	files := countFiles(t, mem, ".seg")
	if restarted {
		shut(e)
		wrong.Store(int64(age + time.Hour))
		e = start()
	} else {
		wrong.Store(int64(age + time.Hour))
	}
	pass(50 * time.Minute)
	if texts, _ := readAll(t, e, "/a/b", message.Position{}); len(texts) > 0 {
		t.Errorf("%d messages that are too old can be read", len(texts))
	}
	if got := countFiles(t, mem, ".seg"); got < files {
		t.Fatalf("there are %d segments, and were %d", got, files)
	}
	shut(e)
	wrong.Store(0)
	e = start()
	if texts, _ := readAll(t, e, "/a/b", message.Position{}); len(texts) != n {
		t.Errorf("the clock is right again, and %d of %d messages can be read", len(texts), n)
	}
	pass(age + 2*time.Hour)                         // now they are old indeed
	if got := countFiles(t, mem, ".seg"); got > 3 { // those of the last runs
		t.Errorf("%d segments are left", got)
	}
	shut(e)
}

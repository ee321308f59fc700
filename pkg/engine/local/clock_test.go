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

// A clock that jumps, or is wrong when the engine starts, makes no message expire until
// somebody had time to set it right.
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
		FS: mem, wrong: func() time.Duration { return time.Duration(wrong.Load()) }, SegmentSize: 4 << 10, checkpointEvery: 1,
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
	all := func(when string) {
		t.Helper()
		if texts, gaps := readAll(t, e, "/a/b", message.Position{}); len(texts) != n || len(gaps) > 0 {
			t.Errorf("%s: %d of %d messages can be read, gaps %v", when, len(texts), n, gaps)
		}
		if got := countFiles(t, mem, ".seg"); got < files {
			t.Errorf("%s: there are %d segments, and were %d", when, got, files)
		}
	}
	all("the clock is wrong")
	wrong.Store(0)
	pass(2 * time.Hour)
	all("it was set right")
	shut(e)
	e = start()
	all("and after a restart")
	pass(age + 2*time.Hour)                         // now they are old indeed
	if got := countFiles(t, mem, ".seg"); got > 3 { // those of the last runs
		t.Errorf("%d segments are left", got)
	}
	shut(e)
}

// A clock that is ahead for a moment, by more than sessions and keys are kept for, is
// none the worse for anybody: while it is, and afterwards; also where the engine starts
// meanwhile, or afterwards.
func TestClockAheadForAMoment(t *testing.T) {
	const ahead = 25 * time.Hour
	for _, restart := range []string{"never", "meanwhile", "afterwards"} {
		t.Run(restart, func(t *testing.T) {
			clock := newHandClock()
			var off atomic.Int64
			opts := Options{FS: vfs.NewMem(), Now: clock.now, wrong: func() time.Duration { return time.Duration(off.Load()) }, KeyCount: 10}
			e := open(t, opts)
			at := func(when string) {
				if when != restart {
					return
				}
				if err := e.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				e = open(t, opts)
			}
			key := engine.SessionKey{1}
			save(t, e, oneSubscription(key, time.Hour))
			stored := publishKeyed(t, e, 0)
			next := 1
			works := func(when string, first time.Time) {
				t.Helper()
				if r := publishKeyed(t, e, 0); !r[0].Duplicate || r[0].Offset != stored[0].Offset {
					t.Errorf("%s: a retry: %+v, was %+v", when, r, stored)
				}
				for range 4 { // as many as push no key out
					m := keyedMessage(next)
					m.First = first.UnixMilli()
					if _, err := engine.Publish(t.Context(), e, m); err != nil {
						t.Errorf("%s: message %d: %v", when, next, err)
					}
					next++
				}
				moveTo(e, key, message.Offset(next))
				e.upkeep(t)
				if at, ok := cursor(t, e, key); !ok || at != message.Offset(next) {
					t.Errorf("%s: the session is there: %v, at %d; want %d", when, ok, at, next)
				}
			}
			first := clock.now()
			off.Store(int64(ahead))
			at("meanwhile")
			works("ahead", first)
			off.Store(0)
			works("set right", first)
			at("afterwards")
			for range 20 { // all that was stored when the clock was wrong is forgotten
				clock.pass(time.Second)
				m := keyedMessage(next)
				m.First = clock.now().UnixMilli()
				if _, err := engine.Publish(t.Context(), e, m); err != nil {
					t.Fatalf("message %d: %v", next, err)
				}
				next++
			}
			late := keyedMessage(0)
			late.First = first.UnixMilli()
			if _, err := engine.Publish(t.Context(), e, late); message.CodeOf(err) != message.KeyExpired {
				t.Errorf("a retry of what is forgotten: %v", err)
			}
			if _, ok := cursor(t, e, key); !ok {
				t.Error("the session is gone")
			}
		})
	}
}

// A start while the clock is ahead takes it for right where something was stored by it.
// When it has been right for the grace, nobody is refused for that any more.
func TestStartByAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = 25 * time.Hour
		var off atomic.Int64
		off.Store(int64(ahead))
		opts := Options{FS: vfs.NewMem(), wrong: func() time.Duration { return time.Duration(off.Load()) }, KeyCount: 2}
		var e *Engine
		for range 2 {
			var err error
			if e, err = Open(opts); err != nil {
				t.Fatal(err)
			}
			publishKeyed(t, e, 0, 1, 2, 3)
			if off.Load() > 0 {
				if err := e.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			off.Store(0)
		}
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		m := keyedMessage(100)
		m.First = time.Now().UnixMilli()
		if _, err := engine.Publish(t.Context(), e, m); err != nil {
			t.Error(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A clock that stays where it has jumped to is believed when the grace is over.
func TestClockThatIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = 25 * time.Hour
		var off atomic.Int64
		e, err := Open(Options{FS: vfs.NewMem(), wrong: func() time.Duration { return time.Duration(off.Load()) }, KeyCount: 2})
		if err != nil {
			t.Fatal(err)
		}
		left, used := engine.SessionKey{1}, engine.SessionKey{2}
		save(t, e, oneSubscription(left, 2*time.Hour))
		save(t, e, oneSubscription(used, 2*time.Hour))
		first := time.Now().UnixMilli()
		publishKeyed(t, e, 0)
		off.Store(int64(ahead))
		time.Sleep(50 * time.Minute)
		moveTo(e, used, 1)
		if r := publishKeyed(t, e, 0); !r[0].Duplicate {
			t.Errorf("the key was forgotten in the grace: %+v", r)
		}
		for _, over := range []bool{false, true} {
			for key, want := range map[engine.SessionKey]bool{left: !over, used: true} {
				if _, ok := cursor(t, e, key); ok != want {
					t.Errorf("the grace is over: %v; session %x is there: %v", over, key[:1], ok)
				}
			}
			time.Sleep(20 * time.Minute)
			synctest.Wait()
		}
		late := func() ([]engine.Receipt, error) {
			m := keyedMessage(0)
			m.First = first
			return engine.Publish(t.Context(), e, m)
		}
		// Who knows whether the clock was behind before: the key may be an hour old.
		if r, err := late(); err != nil || !r[0].Duplicate {
			t.Errorf("a retry: %+v, %v", r, err)
		}
		time.Sleep(24 * time.Hour)
		if _, err := late(); message.CodeOf(err) != message.KeyExpired {
			t.Errorf("a retry of what is forgotten: %v", err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A clock that was right and is behind, for longer than the grace, has nothing stored
// twice: what was forgotten before stays so, also over a start, and those who publish by
// either clock are taken. Nor has one that is set right then: what was stored meanwhile is
// not as old as it looks.
func TestClockBehind(t *testing.T) {
	const behind = 1000 * time.Hour
	clock := newHandClock()
	var off atomic.Int64
	opts := Options{FS: vfs.NewMem(), Now: clock.now, wrong: func() time.Duration { return time.Duration(off.Load()) }}
	e := open(t, opts)
	try := func(number int, first time.Time) (bool, error) {
		t.Helper()
		m := keyedMessage(number)
		m.First = first.UnixMilli()
		r, err := engine.Publish(t.Context(), e, m)
		return err == nil && r[0].Duplicate, err
	}
	stores := func(number int, first time.Time) {
		t.Helper()
		if again, err := try(number, first); err != nil || again {
			t.Errorf("message %d: duplicate %v, %v", number, again, err)
		}
	}
	pass := func(d time.Duration) {
		t.Helper()
		for ; d > 0; d -= 10 * time.Minute {
			clock.pass(10 * time.Minute)
			e.upkeep(t)
		}
	}
	shown := func() time.Time { return clock.now().Add(time.Duration(off.Load())) }
	forgotten := clock.now()
	stores(0, forgotten)
	pass(48 * time.Hour)
	stores(1, clock.now())
	last := clock.now()
	expired := func(when string) {
		t.Helper()
		if again, err := try(0, forgotten); message.CodeOf(err) != message.KeyExpired {
			t.Errorf("%s: a retry of what is forgotten: duplicate %v, %v", when, again, err)
		}
		if again, err := try(1, last); err != nil || !again {
			t.Errorf("%s: a retry of what is not: duplicate %v, %v", when, again, err)
		}
	}
	expired("right")

	off.Store(-int64(behind))
	e.upkeep(t)
	pass(90 * time.Minute)
	expired("behind")
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e = open(t, opts)
	expired("behind, and started again")
	pass(90 * time.Minute)
	expired("and believed")
	stores(2, shown())
	byOld := clock.now() // by whom who has connected before
	stores(3, byOld)

	pass(30 * time.Hour)
	recent := clock.now()
	stores(4, recent)
	pass(10 * time.Minute)
	off.Store(0)
	e.upkeep(t)
	pass(90 * time.Minute)
	if again, err := try(4, recent); err != nil || !again {
		t.Errorf("set right: a retry of two hours ago: duplicate %v, %v", again, err)
	}
	if again, err := try(0, forgotten); message.CodeOf(err) != message.KeyExpired {
		t.Errorf("set right: a retry of what is forgotten: duplicate %v, %v", again, err)
	}
	stores(5, clock.now())
}

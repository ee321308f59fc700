package local

import (
	"fmt"
	"slices"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// An answered is what became of submits, in the order in which they were answered. The
// test looks at it when all are.
type answered struct {
	e       *Engine
	order   []string
	offsets map[string][]message.Offset
}

func (a *answered) submit(app string, size int) {
	m := message.Message{Channel: channel.Name("/" + app + "/1"), Data: make([]byte, size)}
	a.e.Submit([]message.Message{m}, func(r []engine.Receipt, err error) { a.add(app, r, err) })
}

func (a *answered) add(app string, r []engine.Receipt, err error) {
	if err != nil {
		return // from another goroutine
	}
	a.order = append(a.order, app)
	a.offsets[app] = append(a.offsets[app], r[0].Offset)
}

// waiting returns how many submits of an application wait.
func (a *answered) waiting(app string) (n int) {
	a.e.queue.mu.Lock()
	defer a.e.queue.mu.Unlock()
	for i := range a.e.queue.ops {
		if s := a.e.queue.ops[i].submit; s != nil && s.app() == app {
			n++
		}
	}
	if l := a.e.queue.backlog.apps[app]; l != nil {
		n += len(l.ops)
	}
	return n
}

// flood submits until nothing more is taken, and returns how much that was.
func (a *answered) flood(app string, size int) (n int) {
	for before := -1; n > before; n = a.waiting(app) {
		before = n
		a.submit(app, size)
	}
	return n
}

// One application that floods the queue takes neither the room nor the time of others,
// and what each has submitted keeps its order.
func TestFloodOfOneApplication(t *testing.T) {
	const size = 64 << 10
	e := open(t, Options{FS: vfs.NewMem()})
	a := &answered{e: e, offsets: map[string][]message.Offset{}}
	var first, second int
	together(t, e, func() {
		first = a.flood("first", size)
		second = a.flood("second", size)
		for range 10 {
			a.submit("third", 100)
		}
	})
	e.upkeep(t)
	for a.waiting("first")+a.waiting("second") > 0 {
		e.upkeep(t)
	}
	e.upkeep(t)
	room := maxPending / size
	if first < room*2/5 || first > room/2 || second < room/5 {
		t.Errorf("of room for %d the first had %d, the second %d", room, first, second)
	}
	if n := len(a.offsets["first"]); n != first {
		t.Errorf("%d of %d are stored", n, first)
	}
	if n := len(a.offsets["third"]); n != 10 {
		t.Errorf("of the third %d are stored", n)
	}
	for app, offsets := range a.offsets {
		if !slices.IsSorted(offsets) {
			t.Errorf("%s is out of order", app)
		}
	}
	if last := lastOf(a.order, "third"); last > 2*sharedBytes/size+10 {
		t.Errorf("the third's came behind %d others", last)
	}
	if begin := a.order[:sharedBytes/size]; !slices.Contains(begin, "first") || !slices.Contains(begin, "second") {
		t.Errorf("the first answers: %v", begin)
	}
}

// A submit for several applications keeps the order of each, and counts for each.
func TestSeveralApplicationsBehindAFlood(t *testing.T) {
	const size, bulk = 64 << 10, 1 << 20
	e := open(t, Options{FS: vfs.NewMem()})
	a := &answered{e: e, offsets: map[string][]message.Offset{}}
	together(t, e, func() {
		for range 100 {
			a.submit("first", size)
		}
		both := []message.Message{{Channel: "/first/1"}, {Channel: "/second/1", Data: make([]byte, bulk)}, {Channel: "/third/1"}, {Channel: "/second/1"}}
		e.Submit(both, func(r []engine.Receipt, err error) { a.add("all", r, err) })
		for range 50 {
			a.submit("second", size)
			a.submit("first", size)
		}
		e.queue.mu.Lock()
		defer e.queue.mu.Unlock()
		if apps := e.queue.apps; apps["second"] < bulk+50*size || apps["first"] > 151*(size+1000) || apps["third"] == 0 {
			t.Errorf("waiting: %v", apps)
		}
	})
	for a.waiting("first")+a.waiting("second") > 0 {
		e.upkeep(t)
	}
	e.upkeep(t)
	all := slices.Index(a.order, "all")
	if n := len(a.order); n != 201 {
		t.Errorf("%d are stored", n)
	}
	if begin := a.order[:all]; slices.Contains(begin, "second") || len(begin) != 100 {
		t.Errorf("before that of all: %v", begin)
	}
	if !slices.IsSorted(a.offsets["first"]) || !slices.IsSorted(a.offsets["second"]) {
		t.Error("one is out of order")
	}
	if q := &e.queue; len(q.backlog.apps)+len(q.apps)+q.bytes > 0 {
		t.Errorf("left: %v, %v, %d bytes", q.backlog.apps, q.apps, q.bytes)
	}
}

func lastOf(all []string, what string) int {
	slices.Reverse(all)
	defer slices.Reverse(all)
	return len(all) - 1 - slices.Index(all, what)
}

// What is asked of a session stays behind what is stored together with it, also when
// that has to wait.
func TestSessionsBehindAFlood(t *testing.T) {
	const size = 64 << 10
	e := open(t, Options{FS: vfs.NewMem()})
	a := &answered{e: e, offsets: map[string][]message.Offset{}}
	s := oneSubscription(engine.SessionKey{1}, 1e12)
	var order []string
	together(t, e, func() {
		a.flood("first", size)
		for i := range 3 {
			e.SubmitSaving([]message.Message{{Channel: "/first/1", Data: []byte("x")}}, []engine.Session{s}, func(_ []engine.Receipt, err error) {
				order = append(order, fmt.Sprintf("saved %d %v", i, err))
			})
			e.SaveSession(s, func(err error) { order = append(order, fmt.Sprintf("again %d %v", i, err)) })
		}
	})
	for a.waiting("first") > 0 {
		e.upkeep(t)
	}
	e.upkeep(t)
	want := []string{"saved 0 <nil>", "again 0 <nil>", "saved 1 <nil>", "again 1 <nil>", "saved 2 <nil>", "again 2 <nil>"}
	if !slices.Equal(order, want) {
		t.Errorf("%v", order)
	}
}

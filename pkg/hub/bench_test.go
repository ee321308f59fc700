package hub_test

import (
	"fmt"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A sink takes everything, or nothing.
type sink struct {
	hub.Subscription
	bytes   int
	refuses bool
}

func (s *sink) Deliver(_ *hub.Subscription, run hub.Run) bool {
	if !s.refuses {
		s.bytes += len(run.Frames)
	}
	return !s.refuses
}

func sinks(t testing.TB, w *world, n int, name channel.Name) (all []*sink) {
	for range n {
		s := &sink{}
		s.Subscriber = s
		w.shard().Join(&s.Subscription, name, plain(1), func() (engine.Tip, bool) { return w.tip(name), true })
		if !w.shard().Resume(&s.Subscription) {
			t.Fatal("not live")
		}
		all = append(all, s)
	}
	return all
}

// flow returns a function that commits and hands out n messages a turn.
func flow(w *world, n int, name channel.Name) (turn func()) {
	batch := engine.Batch{Messages: make([]message.Message, n)}
	next := w.last()
	data := make([]byte, 100)
	take := func() {}
	return func() {
		for i := range batch.Messages {
			next++
			batch.Messages[i] = message.Message{Channel: name, Offset: next, Previous: next - 1, Data: data}
		}
		w.hub.Commit(batch)
		l := w.loops[0]
		take = l.posted[0]
		l.posted = l.posted[:0]
		take()
		w.shard().Round()
	}
}

// What a turn allocates does not depend on how many subscribers there are, live
// or refusing.
func TestNothingIsAllocatedPerSubscriber(t *testing.T) {
	allocs := func(subscribers int) float64 {
		w := newWorld(t, 1)
		all := sinks(t, w, subscribers, "/a")
		turn := flow(w, 4, "/a")
		return testing.AllocsPerRun(200, func() {
			turn()
			for i := range all[:subscribers/2] { // these fall behind and come back
				s := all[i]
				s.refuses = !s.refuses
				if !s.refuses {
					for run, _ := w.shard().Backlog(&s.Subscription, 100, 1<<20); len(run.Ends) > 0; run, _ = w.shard().Backlog(&s.Subscription, 100, 1<<20) {
						s.Sent = run.Last()
					}
					w.shard().Resume(&s.Subscription)
				}
			}
		})
	}
	one, many := allocs(2), allocs(2000)
	if many > one+1 {
		t.Errorf("%v allocations a turn with 2000 subscribers, %v with two", many, one)
	}
}

func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 16} {
		for _, subscribers := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%d-a-turn/%d-subscribers", n, subscribers), func(b *testing.B) {
				w := newWorld(b, 1)
				sinks(b, w, subscribers, "/a")
				turn := flow(w, n, "/a")
				b.ReportAllocs()
				for b.Loop() {
					turn()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n*subscribers), "ns/delivery")
			})
		}
	}
}

// Many channels, of which each turn brings messages on all.
func BenchmarkChannels(b *testing.B) {
	const channels, subscribers = 1000, 10
	w := newWorld(b, 1)
	batch := engine.Batch{Messages: make([]message.Message, channels)}
	for i := range channels {
		sinks(b, w, subscribers, numbered("/n", i))
		batch.Messages[i] = message.Message{Channel: numbered("/n", i), Data: make([]byte, 100)}
	}
	next := message.Offset(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch.Messages {
			next++
			batch.Messages[i].Offset = next
		}
		w.hub.Commit(batch)
		w.turn()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*channels*subscribers), "ns/delivery")
}

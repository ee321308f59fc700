package kill

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/tests/checker"
)

var (
	messages = flag.Int("messages", 0, "messages to publish, over all channels")
	kills    = flag.Int("kills", 0, "how often the daemon is killed")
	clients  = flag.Int("clients", 0, "Go clients that subscribe")
	seed     = flag.Uint64("seed", 0, "of the moments; 0: a new one")
)

// patience is how long nothing at all may happen before the test gives up. It
// asserts nothing about speed.
const patience = time.Minute

func TestEveryAcceptedMessageArrivesOnceAndInOrder(t *testing.T) {
	s := newScene(t)
	s.run()
	h := s.history()
	v := checker.Check(h)
	t.Log(v)
	fmt.Println(v)
	if err := v.Err(); err != nil {
		t.Error(err)
	}
	for _, w := range s.witnesses {
		w.check(t)
	}
	for _, c := range s.consumers {
		t.Logf("%s: %d processes, %d messages redelivered", c.who, c.lives, c.redelivered)
	}
	if len(h.Gaps) > 0 {
		t.Errorf("%d gaps were told, though nothing was removed; the first: %+v", len(h.Gaps), h.Gaps[0])
	}
}

// A scene is one run of the test.
type scene struct {
	t        *testing.T
	random   *rand.Rand
	rounds   int64 // messages of each channel
	kills    int
	binary   string
	daemon   *daemon
	cutter   cutter
	watchers sync.WaitGroup

	witnesses []*witness  // all, in this order: Go clients, then consumers
	consumers []*consumer // processes; those with a name are killed as well
	publisher *publisher
	gaveUp    string // what is wrong, if anything: wait for nothing any more
}

func newScene(t *testing.T) *scene {
	m, k, c := 10_000, 20, 200
	if testing.Short() {
		m, k, c = 2_000, 5, 50
	}
	m, k, c = orDefault(*messages, m), orDefault(*kills, k), orDefault(*clients, c)
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d messages, %d kills, %d clients, -seed %d", m, k, c, *seed)
	s := &scene{t: t, random: rand.New(rand.NewPCG(*seed, 0)), rounds: int64(m/len(channels) + 1), kills: k}
	s.binary = build(t)
	t.Cleanup(func() {
		if s.gaveUp != "" {
			t.Log(s.gaveUp) // once more, behind the daemon's log: some show only the end
		}
	})
	s.daemon = newDaemon(t, s.binary)
	for i := range c {
		s.witnesses = append(s.witnesses, &witness{who: fmt.Sprintf("client %d, %s", i, ways[i%len(ways)])})
	}
	for _, name := range []string{"", "one", "two", "three"} {
		c := newConsumer(name)
		s.consumers = append(s.consumers, c)
		s.witnesses = append(s.witnesses, c.witness)
	}
	return s
}

func orDefault(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func (s *scene) run() {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer s.watchers.Wait()
	defer cancel()
	s.daemon.start()
	s.daemon.ready(ctx)
	s.subscribe(ctx)
	s.publish(ctx)
	for range s.kills {
		s.killOnce()
	}
	s.await("the publisher", func() int64 { return s.publisher.accepted.Load() }, s.total()-int64(len(channels)))
	s.awaitAll()
	// Whoever would get something twice gets it before this.
	s.watchers.Go(func() { s.publisher.publish(ctx, s.rounds, "the end") })
	s.await("the publisher", func() int64 { return s.publisher.accepted.Load() }, s.total())
	s.awaitAll()
	cancel()
	s.watchers.Wait()
	s.daemon.stop()
}

// total is how many messages there are at the end.
func (s *scene) total() int64 { return s.rounds * int64(len(channels)) }

// subscribe starts everybody; every seventh client comes late.
func (s *scene) subscribe(ctx context.Context) {
	url := s.daemon.url()
	for _, c := range s.consumers {
		s.watchers.Go(func() { c.run(ctx, s.binary, url) })
	}
	for i, w := range s.witnesses[:len(s.witnesses)-len(s.consumers)] {
		late := time.Duration(0)
		if i%7 == 6 {
			late = time.Duration(s.random.IntN(3000)) * time.Millisecond
		}
		s.watchers.Go(func() {
			select {
			case <-time.After(late):
			case <-ctx.Done():
				return
			}
			if way := ways[i%len(ways)]; way != "websocket" {
				w.browse(ctx, way, s.daemon.door(i), &s.cutter)
				return
			}
			w.listen(ctx, s.daemon.door(i), &s.cutter)
		})
	}
}

// publish starts the publisher. It publishes all but the last round, in bursts.
func (s *scene) publish(ctx context.Context) {
	c, err := client.New(client.Options{URL: s.daemon.url(), MaxPending: 64, Dial: s.cutter.dial})
	if err != nil {
		s.t.Fatal(err)
	}
	s.publisher = &publisher{c: c}
	pauses := rand.New(rand.NewPCG(*seed, 1))
	s.watchers.Go(func() { c.Run(ctx) })
	s.watchers.Go(func() {
		for n := int64(1); n < s.rounds; n++ {
			if s.publisher.publish(ctx, n, strings.Repeat("x", pauses.IntN(300))) != nil {
				return
			}
			if pauses.IntN(20) == 0 {
				time.Sleep(time.Duration(pauses.IntN(20)) * time.Millisecond)
			}
		}
	})
}

// killOnce waits for some progress and a moment, kills the daemon, and starts it
// again. Now and then it is killed while it starts, or the network or a consumer
// fails too, before it or with it.
func (s *scene) killOnce() {
	share := s.total() / int64(s.kills+1)
	if s.random.IntN(4) > 0 {
		target := min(s.publisher.accepted.Load()+s.random.Int64N(share)+share/2, s.total()-int64(len(channels)))
		s.await("the publisher", func() int64 { return s.publisher.accepted.Load() }, target)
	}
	if s.random.IntN(3) == 0 {
		s.cutter.cut(1 + s.random.IntN(10))
	}
	s.consumers[s.random.IntN(len(s.consumers))].kill()
	time.Sleep(time.Duration(s.random.IntN(60)) * time.Millisecond)
	if s.random.IntN(2) == 0 {
		s.consumers[s.random.IntN(len(s.consumers))].kill()
	}
	s.daemon.kill()
	s.daemon.start()
}

// awaitAll waits until everybody has as much as was published.
func (s *scene) awaitAll() {
	want := s.publisher.accepted.Load()
	for _, w := range s.witnesses {
		s.await(w.who, w.got.Load, want)
	}
}

// await waits until a count is reached, or nobody has made any progress for too
// long: then the checker tells what is missing.
func (s *scene) await(who string, count func() int64, want int64) {
	last, since := int64(-1), time.Now()
	for s.gaveUp == "" && count() < want {
		if err := s.publisher.failure(); err != nil {
			s.giveUp("publishing: %v", err)
		}
		if p := s.progress(); p != last {
			last, since = p, time.Now()
		}
		if time.Since(since) > patience {
			s.giveUp("%s stands at %d of %d, and nothing happens any more", who, count(), want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// giveUp ends all waiting, now and later.
func (s *scene) giveUp(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	for _, w := range s.witnesses {
		if n := w.got.Load(); n < s.publisher.accepted.Load() {
			why += fmt.Sprintf("\n%s stands at %d", w.who, n)
		}
	}
	s.gaveUp = why
	s.t.Error(why)
}

func (s *scene) progress() int64 {
	n := s.publisher.accepted.Load()
	for _, w := range s.witnesses {
		n += w.got.Load()
	}
	return n
}

// history joins what all have seen. Everybody is to have everything.
func (s *scene) history() *checker.History {
	h := &checker.History{Accepted: s.publisher.stored}
	for _, w := range s.witnesses {
		h.Deliveries = append(h.Deliveries, w.history.Deliveries...)
		h.Gaps = append(h.Gaps, w.history.Gaps...)
		for _, ch := range channels {
			h.Expected = append(h.Expected, checker.Expectation{Who: w.who, Channel: string(ch)})
		}
	}
	return h
}

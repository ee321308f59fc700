package scene

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/tests/checker"
)

// patience is how long nothing at all may happen before a test gives up. It
// asserts nothing about speed.
const patience = time.Minute

// A Scene is one run of a test. The test's goroutine owns it.
type Scene struct {
	Daemon    *Daemon
	Cutter    Cutter
	Witnesses []*Witness
	Random    *rand.Rand
	Slowly    bool // publish for seconds rather than for moments: for clients that are slow to come back

	t         *testing.T
	seed      uint64
	rounds    int64 // messages of each channel
	actors    sync.WaitGroup
	publisher *publisher
	followed  int64  // what had been accepted at the last Follow
	gaveUp    string // what is wrong, if anything: wait for nothing any more
}

// New makes a scene in which so many messages are published over all channels, by
// chance of the seed (0: a new one), and its daemon, whose section server of the
// configuration has more.
func New(t *testing.T, messages int, seed uint64, more string) *Scene {
	t.Helper()
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	s := &Scene{t: t, seed: seed, Random: rand.New(rand.NewPCG(seed, 0)), rounds: int64(messages/len(Channels) + 1)}
	t.Cleanup(func() {
		s.actors.Wait()
		if s.gaveUp != "" {
			t.Log(s.gaveUp) // once more, behind the daemon's log: some show only the end
		}
	})
	s.Daemon = NewDaemon(t, more)
	return s
}

// Go runs f, for which Finish waits.
func (s *Scene) Go(f func()) { s.actors.Go(f) }

// Witness adds one that the test itself feeds, by what it runs with Go.
func (s *Scene) Witness(who string) *Witness {
	w := &Witness{Who: who}
	s.Witnesses = append(s.Witnesses, w)
	return w
}

// Client starts a witness that comes by a way (one of Ways) and a door.
func (s *Scene) Client(ctx context.Context, who, way string, to Door) {
	w := s.Witness(who + ", " + way)
	late := time.Duration(0)
	if len(s.Witnesses)%7 == 0 { // not all have been there from the start
		late = time.Duration(s.Random.IntN(3000)) * time.Millisecond
	}
	s.Go(func() {
		select {
		case <-time.After(late):
		case <-ctx.Done():
			return
		}
		w.Attend(ctx, way, to, &s.Cutter)
	})
}

// Publish starts the publisher, which comes by a door. It publishes all but the last
// round, in bursts.
func (s *Scene) Publish(ctx context.Context, by Door) {
	c, err := client.New(client.Options{URL: by.URL, TLS: by.Trusts, MaxPending: 64, Dial: s.Cutter.Dial})
	if err != nil {
		s.t.Fatal(err)
	}
	s.publisher = &publisher{c: c}
	pauses := rand.New(rand.NewPCG(s.seed, 1))
	s.Go(func() { c.Run(ctx) })
	s.Go(func() {
		for n := int64(1); n < s.rounds; n++ {
			if s.publisher.publish(ctx, n, strings.Repeat("x", pauses.IntN(300))) != nil {
				return
			}
			if s.Slowly || pauses.IntN(20) == 0 {
				time.Sleep(time.Duration(pauses.IntN(30)) * time.Millisecond)
			}
		}
	})
}

// total is how many messages there are at the end.
func (s *Scene) total() int64 { return s.rounds * int64(len(Channels)) }

// Advance waits until about a share of all messages has been accepted since.
func (s *Scene) Advance(share float64) {
	more := int64(share * float64(s.total()))
	s.awaitAccepted(min(s.publisher.accepted.Load()+more, s.total()-int64(len(Channels))))
}

func (s *Scene) awaitAccepted(want int64) { s.Await("the publisher", s.publisher.accepted.Load, want) }

// Finish waits until everybody has everything, and then one more round, before which
// whoever would get something twice has got it; ends all by cancel, and judges.
func (s *Scene) Finish(ctx context.Context, cancel func()) {
	s.awaitAccepted(s.total() - int64(len(Channels)))
	s.awaitAll()
	s.Go(func() { s.publisher.publish(ctx, s.rounds, "the end") })
	s.awaitAccepted(s.total())
	s.awaitAll()
	cancel()
	s.actors.Wait()
	s.Daemon.Stop()
	s.judge()
}

// judge fails the test for what is wrong with what the witnesses have seen.
func (s *Scene) judge() {
	h := s.history()
	v := checker.Check(h)
	s.t.Log(v)
	fmt.Printf("%s: %s\n", s.t.Name(), v)
	if err := v.Err(); err != nil {
		s.t.Error(err)
	}
	for _, w := range s.Witnesses {
		if w.Failed != nil {
			s.t.Error(w.Failed)
		}
	}
	if len(h.Gaps) > 0 {
		s.t.Errorf("%d gaps were told, though nothing was removed; the first: %+v", len(h.Gaps), h.Gaps[0])
	}
}

// history joins what all have seen. Everybody is to have everything.
func (s *Scene) history() *checker.History {
	h := &checker.History{Accepted: s.publisher.stored}
	for _, w := range s.Witnesses {
		h.Deliveries = append(h.Deliveries, w.history.Deliveries...)
		h.Gaps = append(h.Gaps, w.history.Gaps...)
		for _, ch := range Channels {
			h.Expected = append(h.Expected, checker.Expectation{Who: w.Who, Channel: string(ch)})
		}
	}
	return h
}

// Follow waits until everybody has had something of what is new since the last time.
func (s *Scene) Follow() {
	for _, w := range s.Witnesses {
		s.Await(w.Who, w.Got.Load, min(s.followed+1, s.publisher.accepted.Load()))
	}
	s.followed = s.publisher.accepted.Load()
}

// awaitAll waits until everybody has as much as was published.
func (s *Scene) awaitAll() {
	want := s.publisher.accepted.Load()
	for _, w := range s.Witnesses {
		s.Await(w.Who, w.Got.Load, want)
	}
}

// Await waits until a count is reached, or nobody has made any progress for too
// long: then the checker tells what is missing.
func (s *Scene) Await(who string, count func() int64, want int64) {
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
func (s *Scene) giveUp(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	for _, w := range s.Witnesses {
		if n := w.Got.Load(); n < s.publisher.accepted.Load() {
			why += fmt.Sprintf("\n%s stands at %d", w.Who, n)
		}
	}
	s.gaveUp = why
	s.t.Error(why)
}

func (s *Scene) progress() int64 {
	n := s.publisher.accepted.Load()
	for _, w := range s.Witnesses {
		n += w.Got.Load()
	}
	return n
}

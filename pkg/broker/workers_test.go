package broker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
)

// Go never waits, however busy the workers are; jobs begin in their order.
func TestGoDoesNotWait(t *testing.T) {
	b, _ := newBroker(t, broker.Options{Rights: rights(t, &directory{}), Workers: 1})
	gate, done := make(chan struct{}), make(chan struct{})
	b.Go(func() { <-gate })
	var order []int
	for i := range 1000 {
		b.Go(func() { order = append(order, i) })
	}
	b.Go(func() { close(done) })
	close(gate)
	<-done
	if len(order) != 1000 || !slices.IsSorted(order) {
		t.Errorf("%d ran, in order: %v", len(order), slices.IsSorted(order))
	}
}

// As many jobs run at a time as there are workers.
func TestWorkers(t *testing.T) {
	const workers, jobs = 3, 30
	b, _ := newBroker(t, broker.Options{Rights: rights(t, &directory{}), Workers: workers})
	var running, most atomic.Int64
	var all sync.WaitGroup
	all.Add(jobs)
	var meet sync.WaitGroup
	meet.Add(workers)
	for i := range jobs {
		b.Go(func() {
			defer all.Done()
			n := running.Add(1)
			for {
				if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			if i < workers { // the first ones wait for each other
				meet.Done()
				meet.Wait()
			}
			running.Add(-1)
		})
	}
	all.Wait()
	if n := most.Load(); n != workers {
		t.Errorf("%d jobs ran at a time", n)
	}
}

// Those who ask authenticators that do not answer hold up nobody else, and as
// many of them ask at a time as there are askers.
func TestAskHoldsUpNobody(t *testing.T) {
	b, _ := newBroker(t, broker.Options{Rights: rights(t, &directory{}), Workers: 1, Askers: 2})
	gate, done := make(chan struct{}), make(chan struct{})
	var asking sync.WaitGroup
	asking.Add(2)
	for range 2 {
		b.Ask(func() { asking.Done(); <-gate })
	}
	asking.Wait()
	b.Go(func() { close(done) })
	<-done
	close(gate)
}

// Close waits for what has begun and for nothing else, no longer than it may, and may
// be called by several at once.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBroker(t, broker.Options{Rights: rights(t, &directory{}), Workers: 2, Askers: 1})
		var ran atomic.Int64
		gate := make(chan struct{})
		for range 1000 {
			b.Go(func() { <-gate; ran.Add(1) })
			b.Ask(func() { <-gate; ran.Add(1) })
		}
		synctest.Wait() // three have begun
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("what has begun has not ended: %v", err)
		}
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() { must(t, b.Close(t.Context())) })
		}
		synctest.Wait() // all of them wait
		b.Go(func() { t.Error("it ran after Close") })
		b.Ask(func() { t.Error("it ran after Close") })
		close(gate)
		closers.Wait()
		if n := ran.Load(); n != 3 {
			t.Errorf("%d have run", n)
		}
	})
}

// Who asks an authenticator that does not answer waits no longer than for Close.
func TestCloseWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{realm: "names", before: func(ctx context.Context) error {
			<-ctx.Done()
			return message.Errorf(message.Unavailable, "no answer").Because(ctx.Err())
		}}
		b, _ := newBroker(t, broker.Options{Rights: rights(t, d)})
		ask := func() {
			_, err := b.Authenticate(context.Background(), auth.Credentials{Token: "alice"})
			_, err2 := b.Refresh(context.Background(), who("alice"))
			if !errors.Is(err, context.Canceled) || !errors.Is(err2, context.Canceled) {
				t.Errorf("%v, %v", err, err2)
			}
		}
		b.Ask(ask)
		synctest.Wait() // it has asked
		must(t, b.Close(t.Context()))
		ask()
	})
}

// Rights may change while everything else goes on.
func TestSetRightsConcurrently(t *testing.T) {
	d := &directory{realm: "names"}
	open := [3]string{"/**", "*", "*"}
	b, _ := newBroker(t, broker.Options{Rights: rights(t, d, open)})
	var all sync.WaitGroup
	all.Go(func() {
		for range 50 {
			b.SetRights(rights(t, d, open))
		}
	})
	for range 4 {
		all.Go(func() {
			for range 50 {
				_, err1 := publish(b, who("alice"), text("/a", "x"))
				_, err2 := b.Authenticate(context.Background(), auth.Credentials{Token: "alice"})
				_, err3 := b.History(context.Background(), nil, "/a", 0, 5)
				if err := errors.Join(err1, err2, err3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

package httpserver

import (
	"context"
	"testing"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// Of the connections that wait only some may be arriving, and when one has arrived, the
// next is not accepted before the loop has had a turn.
func TestArrivals(t *testing.T) {
	r, err := reactor.New(reactor.Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	q, l := newQueue(1), r.Loops()[0]
	for range maxArriving + 2 {
		q.put(&conn{})
	}
	for range maxArriving {
		if _, err := q.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	arriving := func() int {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.taken
	}
	goes, turned := make(chan struct{}), make(chan struct{})
	l.Post(func() { <-goes })
	q.arrived(l)
	if n := arriving(); n != maxArriving {
		t.Errorf("%d may arrive while the loop is busy", maxArriving-n)
	}
	l.Post(func() { close(turned) })
	close(goes)
	<-turned
	if n := arriving(); n != maxArriving-1 {
		t.Errorf("%d are arriving after a turn", n)
	}
	if _, err := q.Accept(); err != nil {
		t.Error(err)
	}
}

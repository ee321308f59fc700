package stomp

import (
	"testing"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/engine"
)

// Of two looks at a client that overlap, the one that began first has the last word of
// neither: what it found may be older.
func TestRechecksOverlap(t *testing.T) {
	d := &directory{asked: make(chan chan []string)}
	s, address := newServer(t, d, func(e engine.Engine) engine.Engine { return e })
	c := dial(t, address, "")
	over := make(chan error)
	for range 2 {
		go func() { over <- s.RecheckWhere(t.Context(), func(*broker.Who) bool { return true }) }()
	}
	first, second := <-d.asked, <-d.asked
	second <- nil
	must(t, <-over)
	first <- []string{"staff"} // as it was when it was asked
	select {
	case again := <-d.asked:
		again <- nil
		must(t, <-over)
	case err := <-over:
		must(t, err)
	}
	c.say("SUBSCRIBE\nid:1\ndestination:/a\nreceipt:r")
	c.want("code:forbidden")
}

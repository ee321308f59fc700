package reactor_test

import (
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A handler that is in the midst of a message gets the rest of it in the same turn, and
// one that always is gets no more than a bit.
func TestReadOn(t *testing.T) {
	const message, most = 40 << 10, 72 << 10
	for _, sent := range []int{message, 10 * message} {
		x := newTurns(t)
		nc, c := x.come(true)
		in, got := map[int]int{}, make(chan int, 1000)
		on(x, x.loop, func() {
			c.SetHandler(&handler{data: func(c *reactor.Conn, b []byte) int {
				in[x.turn] += len(b)
				c.ReadOn()
				got <- len(b)
				return len(b)
			}})
		})
		done := make(chan struct{})
		x.meanwhile(func() {
			go func() { defer close(done); send(t, nc, strings.Repeat("x", sent)) }()
			if sent == message {
				get(t, done)
			}
		})
		for all := 0; all < sent; {
			all += get(t, got)
		}
		on(x, x.loop, func() {
			if sent == message && len(in) > 1 {
				t.Errorf("%d bytes took %d turns", sent, len(in))
			}
			for turn, bytes := range in {
				if bytes > most {
					t.Errorf("%d bytes in turn %d", bytes, turn)
				}
			}
		})
	}
}

package local

import (
	"testing"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// However many publishes are refused at once, one goroutine answers them, in their order.
func TestRefusedAtOnce(t *testing.T) {
	e := open(t, Options{})
	const n = 100
	answers, release := make(chan int, n), make(chan struct{})
	huge := []message.Message{{Channel: "/a", Data: make([]byte, maxMessage+1)}}
	for i := range n {
		e.Submit(huge, func(_ []engine.Receipt, err error) {
			if message.CodeOf(err) != message.TooLarge {
				t.Error(err)
			}
			if i == 0 {
				<-release
			}
			answers <- i
		})
	}
	close(release)
	for i := range n {
		if got := <-answers; got != i {
			t.Fatalf("answer %d is that of %d", i, got)
		}
	}
}

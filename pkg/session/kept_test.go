package session_test

import (
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// What a client was told of its subscriptions is what is stored, whatever else is
// saved of its session at the same time: here, that a right has gone.
func TestStoredAsAnswered(t *testing.T) {
	for _, refused := range []bool{false, true} {
		r := newRig(t, rigOptions{})
		c := r.connect(0, named)
		c.now("/a", "/b")
		release := r.saves.holdUp()
		ended, began := make(chan error, 1), make(chan session.Result, 1)
		var errs []error
		if refused {
			errs = append(errs, message.Errorf(message.Unavailable, "the disk is full"))
			c.do(func(s *session.Session) {
				s.Subscribe("/c", session.Start{}, func(result session.Result) { began <- result })
			})
		} else {
			c.do(func(s *session.Session) { s.Unsubscribe("/a", func(err error) { ended <- err }) })
		}
		r.reload(rule(t, "/b", "user:bob"), rule(t, "/**", "*"))
		c.want("/b!forbidden")
		release(errs...)
		want := 0
		if refused {
			want = 1
			if err := (<-began).Err; message.CodeOf(err) != message.Unavailable {
				t.Errorf("got %v", err)
			}
		} else {
			must(t, <-ended)
		}
		r.settle()
		if stored := r.stored(named.Name).Subscriptions; len(stored) != want || want == 1 && stored[0].Channel != "/a" {
			t.Errorf("refused %t: %v is stored", refused, stored)
		}
	}
}

package stomp

import (
	"context"
	"testing"

	"github.com/orbitd/orbitd/pkg/engine"
)

// lookups is an engine whose answers about named sessions the test lets through.
type lookups struct {
	engine.Engine
	asked chan chan struct{}
}

func (l *lookups) Session(ctx context.Context, key engine.SessionKey) (engine.Session, bool, error) {
	s, found, err := l.Engine.Session(ctx, key)
	answer := make(chan struct{})
	l.asked <- answer
	<-answer
	return s, found, err
}

// Of two that take up one new name for two channels at once, the first has it: it is not
// displaced by one that is refused.
func TestNameOfTwoChannelsAtOnce(t *testing.T) {
	l := &lookups{asked: make(chan chan struct{})}
	_, address := newServer(t, &directory{}, func(e engine.Engine) engine.Engine { l.Engine = e; return l })
	first, second := dial(t, address, "x"), dial(t, address, "x")
	second.say("SUBSCRIBE\nid:1\ndestination:/b\ndurable:true\nreceipt:r")
	nothing := <-l.asked
	first.say("SUBSCRIBE\nid:1\ndestination:/a\ndurable:true\nreceipt:r")
	close(<-l.asked) // before it claims the name
	close(<-l.asked) // and behind that
	first.want("RECEIPT")
	close(nothing)
	go func() {
		for answer := range l.asked {
			close(answer)
		}
	}()
	defer close(l.asked)
	second.want("is one of /a;")
	first.say("UNSUBSCRIBE\nid:1\nreceipt:u")
	first.want("receipt-id:u")
}

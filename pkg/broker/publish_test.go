package broker_test

import (
	"context"
	"testing"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
)

// A ready engine answers at once, and stores nothing.
type ready struct{ *memory.Engine }

var receipts = []engine.Receipt{{Offset: 1}}

func (ready) SubmitSaving(_ []message.Message, _ []engine.Session, done func([]engine.Receipt, error)) {
	done(receipts, nil)
}

// newReady returns a broker on an engine that is ready, and what publishes to it once.
func newReady(t testing.TB) (publish func()) {
	o := broker.Options{Rights: rights(t, &directory{realm: "names"}, [3]string{"/a/**", "*", "*"})}
	b, e := newBroker(t, o)
	must(t, b.Close(t.Context()))
	o.Engine = ready{e}
	b, err := broker.New(o)
	must(t, err)
	t.Cleanup(func() { must(t, b.Close(context.Background())) })
	alice, msgs := who("alice"), []message.Message{text("/a/b", "x")}
	then := func([]engine.Receipt, error) {}
	return func() { b.Publish(alice, msgs, then) }
}

// To decide on a publish and to count it allocates nothing.
func TestPublishAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, newReady(t)); n > 0 {
		t.Errorf("a publish allocates %v times", n)
	}
}

func BenchmarkPublish(b *testing.B) {
	publish := newReady(b)
	b.ReportAllocs()
	for b.Loop() {
		publish()
	}
}

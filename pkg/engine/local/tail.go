package local

import (
	"sync"

	"github.com/orbitd/orbitd/pkg/engine"
)

// tails are those who are handed every batch.
type tails struct {
	mu  sync.Mutex // held while a batch is handed over
	all []*tailing
}

type tailing struct{ deliver func(engine.Batch) }

// Tail implements engine.Engine. stop must not be called from deliver.
func (e *Engine) Tail(deliver func(engine.Batch)) (stop func()) {
	t := &tailing{deliver}
	e.tails.mu.Lock()
	defer e.tails.mu.Unlock()
	e.tails.all = append(e.tails.all, t)
	return func() { e.tails.remove(t) }
}

func (t *tails) remove(who *tailing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.all {
		if other == who {
			t.all = append(t.all[:i:i], t.all[i+1:]...)
			return
		}
	}
}

func (t *tails) deliver(b engine.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, who := range t.all {
		who.deliver(b)
	}
}

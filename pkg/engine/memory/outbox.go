package memory

import (
	"context"
	"fmt"
	"sync"
)

// An outbox makes calls in the order in which they were added, one at a time, on
// a goroutine that lives while there are any. The zero value is empty. It grows
// with what its callers add: it is for tests.
type outbox struct {
	mu    sync.Mutex
	calls []func()
	idle  chan struct{} // closed when all calls are made; nil while there are none
}

func (o *outbox) add(call func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, call)
	if o.idle == nil {
		o.idle = make(chan struct{})
		go o.run(o.idle)
	}
}

func (o *outbox) run(idle chan struct{}) {
	for call := range o.next {
		call()
	}
	close(idle)
}

// next yields the calls until there are no more.
func (o *outbox) next(yield func(func()) bool) {
	for {
		o.mu.Lock()
		if len(o.calls) == 0 {
			o.idle = nil
			o.mu.Unlock()
			return
		}
		call := o.calls[0]
		o.calls = o.calls[1:]
		o.mu.Unlock()
		if !yield(call) {
			return
		}
	}
}

// wait returns when every call that was added before has been made.
func (o *outbox) wait(ctx context.Context) error {
	o.mu.Lock()
	idle := o.idle
	o.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the last answers: %w", ctx.Err())
	}
}

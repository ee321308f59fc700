package client

import "sync"

// An inbox hands functions to the goroutine that owns the state. It takes them
// at once, so handlers may call the client too; its length is bounded by
// Options.MaxPending publications and what else the application asks for.
type inbox struct {
	wake chan struct{} // holds a token while the queue is not empty

	mu     sync.Mutex
	queue  []func(*state)
	closed bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(f func(*state)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.queue = append(b.queue, f)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// serve runs what is in the inbox.
func (b *inbox) serve(s *state) {
	b.mu.Lock()
	queue := b.queue
	b.queue = nil
	b.mu.Unlock()
	for _, f := range queue {
		f(s)
	}
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

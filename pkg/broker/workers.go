package broker

import (
	"context"
	"fmt"
	"sync"
)

// workers run jobs that may block, each on one of a few goroutines, in the
// order in which they came. The queue is as long as its callers make it: each
// connection and each subscription has at most one job waiting.
type workers struct {
	wg sync.WaitGroup

	mu     sync.Mutex
	wake   sync.Cond
	queue  []func()
	closed bool
}

func newWorkers(n int) *workers {
	w := &workers{}
	w.wake.L = &w.mu
	for range n {
		w.wg.Go(w.run)
	}
	return w
}

// add queues a job. After close it is dropped: nobody is left to be served.
func (w *workers) add(job func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.queue = append(w.queue, job)
		w.wake.Signal()
	}
}

func (w *workers) run() {
	for {
		job := w.next()
		if job == nil {
			return
		}
		job()
	}
}

func (w *workers) next() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.closed {
		w.wake.Wait()
	}
	if len(w.queue) == 0 {
		return nil
	}
	job := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return job
}

// close drops what is queued, as add does from then on, and waits for what runs, until
// ctx ends. It is idempotent.
func (w *workers) close(ctx context.Context) error {
	w.mu.Lock()
	w.closed, w.queue = true, nil
	w.wake.Broadcast()
	w.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		w.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for what the workers do: %w", ctx.Err())
	}
}

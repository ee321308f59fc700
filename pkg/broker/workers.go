package broker

import "sync"

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

// close finishes what is queued and waits for it. It is idempotent.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	w.wake.Broadcast()
	w.mu.Unlock()
	w.wg.Wait()
}

package reactor

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// workers run the steps of handshakes, which take some hundred microseconds, or
// milliseconds with RSA: too long for a loop. One processor is left to the loops.
//
// They are started with the first listener that needs them, and stopped when the
// loops have ended. The queue has room for all handshakes that there may be,
// each of which stands in it at most once; so no loop ever waits for it.
type workers struct {
	tasks   chan *handshake
	started bool
	running sync.WaitGroup
}

// startWorkers starts them, once. r.mu is held.
func (r *Reactor) startWorkers() {
	if r.workers.started {
		return
	}
	r.workers.started = true
	for range max(1, len(r.loops)-1) {
		r.workers.running.Go(r.work)
	}
}

func (w *workers) stop() {
	close(w.tasks)
	w.running.Wait()
}

// work runs steps until there are no more.
func (r *Reactor) work() {
	for h := range r.workers.tasks {
		more := r.step(h)
		if !h.conn.Loop().post(func() { h.stepped(more) }) {
			h.stop()
		}
	}
}

// step runs the handshake until it needs more, which it reports. A panic ends
// that handshake.
func (r *Reactor) step(h *handshake) (more bool) {
	defer func() {
		if v := recover(); v != nil {
			r.panics.Add(1)
			r.log.WithField("panic", fmt.Sprint(v)).WithField("stack", string(debug.Stack())).Error("a handshake panicked")
			more, h.err = false, ErrPanic
		}
	}()
	_, more = h.next()
	return more
}

package httpserver

import (
	"net"
	"sync"
)

// A queue is the listener of the net/http server: it accepts what the loops give
// it. It holds connections only until net/http has started a goroutine for each,
// and never more than there are descriptors.
type queue struct {
	mu     sync.Mutex
	more   sync.Cond
	conns  []net.Conn
	closed bool

	// Those whose first request net/http has not read. None is added after
	// Close.
	arriving sync.WaitGroup
}

func newQueue() *queue {
	q := &queue{}
	q.more.L = &q.mu
	return q
}

// put gives a connection to net/http, unless the queue is closed. Who serves it
// says when it has arrived.
func (q *queue) put(c net.Conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.arriving.Add(1)
	q.conns = append(q.conns, c)
	q.more.Signal()
	return true
}

// Accept returns the next connection; after Close, what is still in the queue.
func (q *queue) Accept() (net.Conn, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.conns) == 0 {
		if q.closed {
			return nil, net.ErrClosed
		}
		q.more.Wait()
	}
	c := q.conns[0]
	q.conns[0] = nil
	q.conns = q.conns[1:]
	return c, nil
}

// Close ends Accept. It is idempotent.
func (q *queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
	return nil
}

// Addr is asked for by net/http, which does nothing with it.
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

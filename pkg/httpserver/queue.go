package httpserver

import (
	"net"
	"sync"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// maxArriving is how many connections of each loop net/http is given before it has
// begun to serve the first request of each. That is no wait, for the head of each is
// there; but ten thousand that come at once would be as many goroutines that are ready
// to run, between which the loops would have to wait for their turn.
const maxArriving = 2

// A queue is the listener of the net/http server: it accepts what the loops give
// it. It never holds more connections than there are descriptors.
type queue struct {
	most   int // that may be arriving
	mu     sync.Mutex
	more   sync.Cond
	conns  []net.Conn
	taken  int // that were accepted and have not arrived
	closed bool

	// Those whose first request net/http has not read. None is added after
	// Close.
	arriving sync.WaitGroup
}

func newQueue(loops int) *queue {
	q := &queue{most: loops * maxArriving}
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
	for len(q.conns) == 0 || q.taken >= q.most {
		if len(q.conns) == 0 && q.closed {
			return nil, net.ErrClosed
		}
		q.more.Wait()
	}
	c := q.conns[0]
	q.conns[0] = nil
	q.conns = q.conns[1:]
	if _, ok := c.(*conn); ok { // others are connections of HTTP/2, which have no head yet
		q.taken++
	}
	return c, nil
}

// arrived is called once for each conn that was accepted: its first request is
// served, or it has ended. The next one is not accepted before its loop has had a turn:
// else the goroutines that come of one another would keep the processor from it.
func (q *queue) arrived(l *reactor.Loop) {
	q.arriving.Done()
	l.Post(q.next)
}

// next has one more accepted.
func (q *queue) next() {
	q.mu.Lock()
	q.taken--
	q.mu.Unlock()
	q.more.Signal()
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

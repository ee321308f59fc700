package httpserver

import (
	"bytes"
	"io"
	"log"
	"net"
	"sync"

	"github.com/sirupsen/logrus"
)

// A queue is the listener of the net/http server: it accepts what the loops
// give it. Its length bounds what waits for net/http's accept loop, which only
// starts a goroutine for each; a loop that finds it full closes the connection.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newQueue() *queue {
	return &queue{conns: make(chan net.Conn, 1024), closed: make(chan struct{})}
}

// put gives a connection to net/http, if it takes it.
func (q *queue) put(c net.Conn) bool {
	select {
	case <-q.closed:
		return false
	default:
	}
	select {
	case q.conns <- c:
		return true
	default:
		return false
	}
}

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. It is idempotent.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr is asked for by net/http, which does nothing with it.
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

// A prefixed connection first reads what was read of it already.
type prefixed struct {
	net.Conn
	prefix bytes.Reader
}

func withPrefix(c net.Conn, prefix []byte) net.Conn {
	p := &prefixed{Conn: c}
	p.prefix.Reset(prefix)
	return p
}

// Read reads the prefix first.
func (p *prefixed) Read(b []byte) (int, error) {
	if p.prefix.Len() > 0 {
		return p.prefix.Read(b)
	}
	return p.Conn.Read(b)
}

// debugLog returns a logger for net/http's remarks about single connections.
func debugLog(l logrus.FieldLogger) *log.Logger { return log.New(debugWriter{l}, "", 0) }

type debugWriter struct{ log logrus.FieldLogger }

var _ io.Writer = debugWriter{}

// Write logs one line.
func (w debugWriter) Write(b []byte) (int, error) {
	w.log.Debug(string(bytes.TrimSpace(b)))
	return len(b), nil
}

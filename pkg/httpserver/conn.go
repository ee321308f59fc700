package httpserver

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A conn is a connection that has left its loop for net/http. It first gives the
// bytes that were read on the loop, and follows the requests that pass through
// it, so that net/http is given none that could be read in two ways.
//
// It has no parser of chunks, which might disagree with that of net/http: a
// request whose end is not plain from its head is its connection's last, and
// what follows is not looked at (see Server.serve). The same holds for a request
// that may turn into another protocol.
//
// Where no other request comes for a while, the connection goes back to its loop:
// with net/http it costs a goroutine and two buffers.
//
// net/http reads from one goroutine at a time, which owns what Read uses.
type conn struct {
	net.Conn
	server  *Server
	loop    *reactor.Loop // where it was, and ends
	arrived func()        // has its first request served; may be called twice

	heads    int // that were passed on whole
	answered int // of these

	unread  []byte
	head    []byte // of the next request, as far as it was read; net/http bounds it
	body    int64  // what is to come of the current request's
	last    bool   // nothing is followed any more
	refused bool   // nothing is passed on any more

	tls *tls.ConnectionState // owned by who serves the requests, one at a time

	ended  atomic.Bool // the peer sends nothing any more
	rests  atomic.Bool // no request has come for a while
	closed atomic.Bool // by Close
}

// Read passes on what belongs to requests that are plain.
func (c *conn) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && len(p) > 0 {
		n, err = c.receive(p)
		if !c.refused {
			n = c.follow(p[:n])
		}
	}
	return n, err
}

// receive reads what there is, unread first. After a refusal, all that still
// comes is dropped.
func (c *conn) receive(p []byte) (n int, err error) {
	if len(c.unread) > 0 {
		n = copy(p, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	if c.isIdle() {
		n, err = c.await(p)
	} else {
		n, err = c.Conn.Read(p)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended.Store(true)
	}
	if c.refused {
		n = 0
	}
	return n, err
}

// isIdle reports whether all requests are answered, and nothing has come of another.
func (c *conn) isIdle() bool {
	return c.heads > 0 && c.answered == c.heads && len(c.head) == 0 && c.body == 0 && !c.last && !c.refused
}

// await reads the beginning of the next request, if it comes soon.
func (c *conn) await(p []byte) (n int, err error) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(c.server.patience())) // a failure is noticed when it is read from
	n, err = c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.rests.Store(true)
	} else {
		_ = c.Conn.SetReadDeadline(time.Now().Add(headTimeout))
	}
	return n, err
}

// follow looks at the next bytes and returns how many of them may be passed on.
func (c *conn) follow(b []byte) int {
	for i := 0; i < len(b) && !c.last; {
		if c.body > 0 {
			n := min(c.body, int64(len(b)-i))
			c.body -= n
			i += int(n)
			continue
		}
		before := len(c.head)
		c.head = append(c.head, b[i:]...)
		end := headEnd(c.head)
		if end == 0 {
			break
		}
		h, err := parseHead(c.head[:end])
		c.head = nil
		i += end - before
		if err != nil {
			c.refuse()
			return i - 1
		}
		c.heads++
		c.body, c.last = h.body, h.chunked || h.upgrades > 0
	}
	return len(b)
}

// malformed takes the place of the LF that would have ended a head. What net/http
// sees then is one more header, or a request line, that no reading can make
// valid; so it answers 400 and closes, when it has answered the requests before.
// An error from Read would end those, too.
const malformed = "\x00\r\n\r\n"

func (c *conn) refuse() {
	c.refused = true
	c.unread = []byte(malformed)
}

// CloseWrite closes this side's direction, as net/http does before it waits for
// an answer to arrive.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection, where the peer has not done so: in stages (RFC
// 9112, section 9.6), on the loop. For what the peer may still be sending is
// dropped there, while the kernel would answer it with a reset, and the peer lose
// the answer that it has not read yet. A connection with TLS does that by itself.
//
// One that rests goes on on the loop. It is idempotent, and may be called by any
// goroutine.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.arrived()
	rests := c.rests.Load()
	if _, secured := c.Conn.(*tls.Conn); !rests && (secured || c.ended.Load()) {
		return c.Conn.Close()
	}
	parked, err := c.loop.Adopt(c.Conn, nil, landing{})
	if err != nil {
		return err
	}
	c.loop.Post(func() {
		var next reactor.Handler
		if rests {
			next = c.server.Idle(parked)
		}
		if next == nil {
			parked.Close()
			return
		}
		parked.SetHandler(next)
	})
	return nil
}

// state returns what requests tell of their TLS; nil without.
func (c *conn) state() *tls.ConnectionState {
	t, ok := c.Conn.(*tls.Conn)
	if ok && c.tls == nil {
		s := t.ConnectionState()
		c.tls = &s
	}
	return c.tls
}

// Unwrap gives up the connection under this one, and what was read of it and not
// passed on: for a loop that adopts it.
func (c *conn) Unwrap() (nc net.Conn, unread []byte) { return c.Conn, c.unread }

// landing is the handler of a connection that comes back to its loop.
type landing struct{}

func (landing) Data(*reactor.Conn, []byte) (consumed int) { return 0 }
func (landing) Writable(*reactor.Conn)                    {}
func (landing) Closed(*reactor.Conn, error)               {}

package httpserver

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"

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
// net/http reads from one goroutine at a time, which owns what Read uses.
type conn struct {
	net.Conn
	loop    *reactor.Loop // where it was, and ends
	arrived func()        // has its first request served; may be called twice

	unread  []byte
	head    []byte // of the next request, as far as it was read; net/http bounds it
	body    int64  // what is to come of the current request's
	last    bool   // nothing is followed any more
	refused bool   // nothing is passed on any more

	tls *tls.ConnectionState // owned by who serves the requests, one at a time

	ended atomic.Bool // the peer sends nothing any more
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
	n, err = c.Conn.Read(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended.Store(true)
	}
	if c.refused {
		n = 0
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
func (c *conn) Close() error {
	c.arrived()
	if _, secured := c.Conn.(*tls.Conn); secured || c.ended.Load() {
		return c.Conn.Close()
	}
	parked, err := c.loop.Adopt(c.Conn, nil, ending{})
	if err == nil {
		c.loop.Post(parked.Close)
	}
	return err
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

// ending is the handler of a connection that is being closed.
type ending struct{}

func (ending) Data(_ *reactor.Conn, b []byte) int { return len(b) }
func (ending) Writable(*reactor.Conn)             {}
func (ending) Closed(*reactor.Conn, error)        {}

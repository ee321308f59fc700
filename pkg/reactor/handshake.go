package reactor

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"iter"
	"time"
)

// Bounds of a handshake.
const (
	// maxSilence is how long a peer may be silent in its handshake while others
	// wait for a place (Options.MaxHandshakes), so that those which fall silent do
	// not keep them out for long.
	maxSilence = time.Second
	// maxHello is how much is awaited before crypto/tls has a look: a client's
	// first message mostly has one or two KB.
	maxHello = 32 << 10
)

// A handshake is the handler of a connection until there is TLS.
//
// crypto/tls does a handshake in one call, which reads and writes. It is made a
// coroutine here: where it wants to read and there is nothing, it yields, and a
// step of it is run by a worker whenever something has come. So a peer that is
// slow, or silent, occupies no worker; one that has not even sent its whole
// hello costs what an idle connection costs.
//
// It is owned by the loop but for next, stop, secure and err, which are a
// worker's while it is busy.
type handshake struct {
	conn  *Conn
	ln    *listener
	since time.Time // the accept

	secure *secure // nil until the hello is there
	next   func() (struct{}, bool)
	stop   func()
	err    error

	busy   bool      // a step is a worker's
	waits  time.Time // since when it is the peer's turn
	closed bool      // the connection has ended
}

func (l *Loop) newHandshake(c *Conn, ln *listener) *handshake {
	h := &handshake{conn: c, ln: ln, since: l.now}
	l.greeting[h] = true
	return h
}

// Data awaits the hello, and then feeds the handshake, step by step.
func (h *handshake) Data(c *Conn, b []byte) (consumed int) {
	switch {
	case h.secure == nil && !isTLS(b):
		h.refuse(c, b)
		return len(b)
	case h.secure == nil && !helloComplete(b):
		return 0
	case h.secure == nil && len(c.Loop().shaking) >= c.Loop().r.opts.MaxHandshakes:
		c.Loop().ready = append(c.Loop().ready, h)
		c.PauseRead()
		return 0
	case h.secure == nil:
		h.begin(c.Loop())
	}
	h.secure.in = append(h.secure.in, b...)
	h.step(c)
	return len(b)
}

// begin makes the coroutine.
func (h *handshake) begin(l *Loop) {
	delete(l.greeting, h)
	l.shaking[h] = true
	h.secure = &secure{}
	h.secure.tls = tls.Server(h.secure, h.ln.tls)
	h.next, h.stop = iter.Pull(h.run)
}

// run is the coroutine.
func (h *handshake) run(yield func(struct{}) bool) {
	h.secure.more = func() bool { return yield(struct{}{}) }
	h.err = h.secure.tls.Handshake()
}

// step has a worker run the handshake until it needs more. Until then, nothing
// is read.
func (h *handshake) step(c *Conn) {
	h.busy = true
	c.PauseRead()
	c.Loop().r.workers.tasks <- h // it has room: see workers
}

// stepped goes on after a step, on the loop; more tells that it needs more.
func (h *handshake) stepped(more bool) {
	h.busy = false
	if h.closed {
		h.leave(h.conn.Loop())
		h.stop()
		return
	}
	c := h.conn
	if out := h.secure.out; len(out) > 0 {
		h.secure.out = nil
		c.Write(out)
	}
	switch {
	case c.state&mute != 0: // the peer has gone, and Closed will tell
	case more:
		h.waits = c.Loop().now
		c.ResumeRead()
	case h.err != nil:
		h.leave(c.Loop())
		c.Loop().r.handshakeFailed(h.err)
		c.Loop().beginClose(c, fmt.Errorf("handshake: %w", h.err))
	default:
		h.leave(c.Loop())
		h.establish(c)
	}
}

// establish gives the connection to its real handler.
func (h *handshake) establish(c *Conn) {
	l := c.Loop()
	l.r.secured.Add(1)
	s := h.secure
	s.more = nil
	c.tls = s
	if x := c.x; x != nil { // what is pending is encrypted already
		x.sealed, x.out = bytes.Join(x.out, nil), nil
	}
	c.h = opening{}
	c.ResumeRead()
	l.call(c, h.ln.begin)
	if c.state&(mute|moving) == 0 {
		l.takeUnsealed(c) // what came behind the handshake
		l.offerKept(c)
	}
}

// leave takes h from the loop's sets, and gives its place to the next.
func (h *handshake) leave(l *Loop) {
	delete(l.greeting, h)
	delete(l.shaking, h)
	for len(l.ready) > 0 && len(l.shaking) < l.r.opts.MaxHandshakes {
		next := l.ready[0]
		l.ready[0] = nil
		l.ready = l.ready[1:]
		if !next.closed {
			next.conn.ResumeRead()
			return
		}
	}
}

// Writable has nothing to go on with.
func (h *handshake) Writable(*Conn) {}

// Closed ends the coroutine, where there is one.
func (h *handshake) Closed(c *Conn, _ error) {
	l := c.Loop()
	if l.greeting[h] || l.shaking[h] {
		l.r.failed.Add(1)
	}
	h.closed = true
	if h.busy {
		return // stepped does the rest
	}
	h.leave(l)
	if h.secure != nil {
		h.stop()
	}
}

// plainAnswer is for who has come with http instead of https.
const plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"this port is for TLS; begin its address with https:// or wss://\n"

// refuse ends a connection that does not begin with TLS, and tells those that
// seem to speak HTTP.
func (h *handshake) refuse(c *Conn, b []byte) {
	h.leave(c.Loop())
	c.Loop().r.handshakeFailed(fmt.Errorf("it begins with byte %#x, which is not TLS", b[0]))
	if 'A' <= b[0] && b[0] <= 'Z' {
		c.Write([]byte(plainAnswer))
	}
	c.Close()
}

func (r *Reactor) handshakeFailed(err error) {
	r.failed.Add(1)
	r.log.WithError(err).Debug("a TLS handshake failed")
}

// expireHandshakes ends those whose time is over, and those whose peers keep a
// place that others wait for.
func (l *Loop) expireHandshakes() {
	late := func(h *handshake) bool { return l.now.Sub(h.since) >= l.r.opts.HandshakeTimeout }
	for h := range l.greeting {
		if late(h) {
			h.conn.doom(ErrTimeout)
		}
	}
	for h := range l.shaking {
		if late(h) || len(l.ready) > 0 && !h.busy && l.now.Sub(h.waits) >= maxSilence {
			h.conn.doom(ErrTimeout)
		}
	}
}

// Numbers of a record and of a handshake message (RFC 8446, sections 5.1 and 4).
const (
	recordHeader  = 5
	messageHeader = 4
	handshakeType = 22
)

func isTLS(b []byte) bool { return b[0] == handshakeType }

// helloComplete reports whether b is enough for crypto/tls to judge: a client's
// whole first message, which may be spread over records, or what cannot become
// one.
func helloComplete(b []byte) bool {
	if len(b) >= maxHello {
		return true
	}
	var message []byte
	for len(b) >= recordHeader {
		n := int(b[3])<<8 | int(b[4])
		if !isTLS(b) || n == 0 || n > maxPlain {
			return true
		}
		if len(b) < recordHeader+n {
			return false
		}
		message = append(message, b[recordHeader:recordHeader+n]...)
		b = b[recordHeader+n:]
		if len(message) >= messageHeader && len(message) >= messageHeader+int(message[1])<<16+int(message[2])<<8+int(message[3]) {
			return true
		}
	}
	return false
}

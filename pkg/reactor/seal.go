package reactor

import (
	"errors"
	"io"
	"slices"
	"syscall"
)

// Bounds of what is encrypted and kept.
const (
	// maxSealed is how much plaintext is encrypted for one send. What a socket
	// does not take is kept as plaintext, which is shared, but for the rest of
	// this, which is the connection's own.
	maxSealed = 64 << 10
	// maxAnswers bounds what crypto/tls answers by itself to a peer that takes
	// nothing of it: KeyUpdate has an answer (RFC 8446, section 4.6.3).
	maxAnswers = 16 << 10
	// maxPlain is the most that a record holds (RFC 8446, section 5.1).
	maxPlain = 16 << 10
)

// A room is what the connections with TLS of one loop share.
type room struct {
	plain  []byte // what was decrypted
	joined []byte // what is to be encrypted, where it was in pieces
	sealed []byte // what was encrypted
}

// transmit encrypts bufs and sends that, until the socket takes no more. It
// returns how many bytes of bufs were encrypted, and what of them was not taken:
// borrowed, until the next call.
func (c *Conn) transmit(bufs [][]byte) (n int, left []byte, e syscall.Errno) {
	r, w := &c.Loop().room, &c.Loop().wire
	for all := size(bufs); n < all; {
		chunk := r.chunk(bufs, n)
		sealed := c.tls.seal(r, chunk)
		if sealed == nil {
			return n, nil, syscall.EPIPE
		}
		n += len(chunk)
		sent, e := w.sendOne(c.fd, sealed)
		if e != 0 || sent < len(sealed) {
			return n, sealed[sent:], e
		}
	}
	return n, nil, 0
}

// chunk returns what follows the first skip bytes of bufs, as far as it is
// encrypted at once.
func (r *room) chunk(bufs [][]byte, skip int) []byte {
	for skip >= len(bufs[0]) {
		skip -= len(bufs[0])
		bufs = bufs[1:]
	}
	first := bufs[0][skip:]
	if len(bufs) == 1 || len(first) >= maxSealed {
		return first[:min(len(first), maxSealed)]
	}
	r.joined = append(r.joined[:0], first...)
	for _, b := range bufs[1:] {
		r.joined = append(r.joined, b[:min(len(b), maxSealed-len(r.joined))]...)
	}
	return r.joined
}

// seal encrypts b; nil after a failure of TLS, of which the peer was told.
func (s *secure) seal(r *room, b []byte) []byte {
	s.out = r.sealed[:0]
	_, err := s.tls.Write(b)
	r.sealed, s.out = s.out, nil
	if err != nil {
		return nil
	}
	return r.sealed
}

// writeSealed is Write for a connection with TLS of which nothing is pending.
func (c *Conn) writeSealed(bufs [][]byte) (blocked bool) {
	n, left, e := c.transmit(bufs)
	switch {
	case e != 0:
		c.doom(e)
		return false
	case len(left) == 0:
		return false
	}
	x := c.side()
	x.add(bufs, n)
	x.keepSealed(left)
	x.progress = c.Loop().now
	c.watch()
	return true
}

// keepSealed appends to what was encrypted and not taken. Plaintext is pending
// only behind such.
func (x *side) keepSealed(b []byte) {
	x.sealed = append(x.sealed, b...)
	x.pending += len(b)
}

// flushSealed is flush for a connection with TLS: it sends what is pending, and
// reports whether that was all.
func (l *Loop) flushSealed(c *Conn) bool {
	x := c.x
	n, e := l.wire.sendOne(c.fd, x.sealed)
	if n > 0 {
		x.progress = l.now
		x.pending -= n
		x.sealed = x.sealed[n:]
	}
	if e == 0 && len(x.sealed) == 0 {
		x.sealed = nil
		var left []byte
		n, left, e = c.transmit(x.out)
		x.drop(n)
		x.keepSealed(left)
	}
	if e != 0 {
		c.doom(e)
		return false
	}
	return x.pending == 0
}

// respond sends what crypto/tls had to say by itself, behind what was encrypted
// before.
func (l *Loop) respond(c *Conn) {
	b := c.tls.out
	c.tls.out = nil
	if len(b) == 0 || c.state&(doomed|gone) != 0 {
		return
	}
	if c.Pending() == 0 {
		n, e := l.wire.sendOne(c.fd, b)
		if e != 0 {
			c.doom(e)
			return
		}
		if b = b[n:]; len(b) == 0 {
			return
		}
		c.side().progress = l.now
	}
	x := c.side()
	if x.answers += len(b); x.answers > maxAnswers {
		c.doom(ErrAnswers)
		return
	}
	x.keepSealed(b)
	c.watch()
}

// readSealed is read for a connection with TLS. What is received is decrypted at
// once, so the bound of what is kept may be passed by one record.
func (l *Loop) readSealed(c *Conn) {
	kept := 0
	if c.x != nil {
		kept = len(c.x.in)
	}
	switch {
	case kept > 0 && c.state&(resumed|replaced) != 0:
		return // settle offers what is kept first
	case kept >= len(l.buf):
		c.doom(ErrTooLarge)
		return
	}
	buf := l.buf[:min(len(l.buf)-kept, max(maxRead, kept))]
	n, e := l.wire.recv(c.fd, buf)
	switch {
	case e == syscall.EAGAIN:
	case e != 0:
		c.doom(e)
	case n == 0:
		c.state |= ended
		if c.tls.end == nil {
			c.tls.end = io.ErrUnexpectedEOF
		}
		l.endSealed(c)
	default:
		c.lastRead, l.filled = l.elapsed, n == len(buf)
		l.unseal(c, buf[:n])
	}
}

// unseal decrypts what was received and offers it.
func (l *Loop) unseal(c *Conn, received []byte) {
	plain := l.decrypt(c.tls, received)
	l.respond(c)
	switch {
	case len(plain) == 0 || c.state&mute != 0:
	case c.x != nil && len(c.x.in) > 0:
		c.x.in = append(c.x.in, plain...)
		l.offer(c, c.x.in)
	default:
		l.offer(c, plain)
	}
	l.endSealed(c)
}

// takeUnsealed keeps what was received, by the handshake or while the connection was
// detached, and not passed on: epoll knows nothing of that.
func (l *Loop) takeUnsealed(c *Conn) {
	if c.tls == nil || c.state&(mute|moving) != 0 {
		return
	}
	if plain := l.decrypt(c.tls, c.tls.in); len(plain) > 0 {
		x := c.side()
		x.in = append(x.in, plain...)
	}
	l.respond(c)
}

// decrypt returns what is readable, borrowed until the next call, and sets s.end
// if nothing follows.
func (l *Loop) decrypt(s *secure, received []byte) []byte {
	if s.end != nil {
		return nil
	}
	s.in = received
	plain := l.room.plain[:0]
	for {
		plain = slices.Grow(plain, maxPlain)
		n, err := s.tls.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
		if errors.Is(err, wouldBlock{}) {
			break
		}
		if err != nil {
			s.end = err
			break
		}
	}
	s.in = nil // it is borrowed, too
	trim(s.tls)
	if l.room.plain = plain; cap(plain) > 4*len(l.buf) {
		l.room.plain = nil
	}
	return plain
}

// endSealed ends a connection whose input has ended, once the handler takes
// input and so has been offered all of it. Of an error the peer was told.
func (l *Loop) endSealed(c *Conn) {
	if c.tls == nil || c.tls.end == nil || c.state&deaf != 0 {
		return
	}
	switch err := c.tls.end; {
	case errors.Is(err, io.EOF):
		l.endOfInput(c, nil)
	case c.state&ended != 0:
		l.endOfInput(c, err)
	default:
		l.beginClose(c, err)
	}
}

// notifyClose sends close_notify (RFC 8446, section 6.1), once.
func (l *Loop) notifyClose(c *Conn) {
	if c.tls.notified {
		return
	}
	c.tls.notified = true
	if c.tls.tls.CloseWrite() == nil {
		l.respond(c)
	}
}

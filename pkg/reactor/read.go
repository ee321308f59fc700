package reactor

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// firstKept is the least room that kept input gets to grow into.
const firstKept = 512

// maxRead is how much is read at once of a connection, so that one which sends without
// end has its turns like everybody. Of a message that is larger, as much is read as
// there is already: it costs the less for each byte.
const maxRead = 8 << 10

// mostRead is about how much is read at once of a connection that is to be read on.
const mostRead = 64 << 10

// receive is called when epoll reports input, or an end, on c.
func (l *Loop) receive(c *Conn, events uint32) {
	switch {
	case c.state&(doomed|moving) != 0:
		return
	case c.state&closing != 0:
		l.discard(c)
	case c.state&paused == 0:
		l.readOn(c)
		if l.filled != (c.state&filled != 0) && c.state&(moving|doomed|gone) == 0 {
			c.rank(filled)
		}
	case events&(unix.EPOLLHUP|unix.EPOLLERR) != 0:
		// Reported whether watched for or not, so it would come for ever. The
		// peer has reset the connection: no answer would reach it.
		c.doom(c.socketError())
	default:
		c.rewatch(c.state & watchOut)
	}
}

// readOn reads once, and again for as long as the handler asks for that.
func (l *Loop) readOn(c *Conn) {
	for end := l.wire.received + mostRead; ; {
		c.state &^= midst
		l.filled = false
		l.read(c)
		if c.state&midst == 0 || c.state&deaf != 0 || l.wire.received >= end {
			return
		}
	}
}

// read reads once and offers what there is, in the loop's buffer, which is borrowed.
// Where much is kept already it is read behind that, not copied to and fro, so that a
// large message that comes in small pieces costs no more than its size.
func (l *Loop) read(c *Conn) {
	if c.tls != nil {
		l.readSealed(c)
		return
	}
	kept, behind := 0, false
	buf := l.buf[:min(len(l.buf), maxRead)]
	if c.x != nil && len(c.x.in) > 0 {
		if c.state&(resumed|replaced) != 0 {
			return // settle offers what is kept first
		}
		kept = len(c.x.in)
		if behind = kept > len(buf)/2; behind {
			c.x.in = roomFor(c.x.in, l.r.opts.MaxInput)
			buf = c.x.in[:cap(c.x.in)]
		} else {
			copy(buf, c.x.in)
		}
	}
	if kept == len(buf) {
		c.doom(ErrTooLarge)
		return
	}
	n, e := l.wire.recv(c.fd, buf[kept:])
	switch {
	case e == syscall.EAGAIN:
	case e != 0:
		c.doom(e)
	case n == 0:
		l.endOfInput(c, nil)
	default:
		c.lastRead, l.filled = l.elapsed, kept+n == len(buf)
		if kept > 0 && !behind {
			c.x.in = c.x.in[:0] // it is in buf
		}
		l.offer(c, buf[:kept+n])
	}
}

// roomFor returns b with room to read behind it, doubling up to limit.
func roomFor(b []byte, limit int) []byte {
	if cap(b)-len(b) >= firstKept || cap(b) >= limit {
		return b
	}
	grown := make([]byte, len(b), min(max(2*len(b), len(b)+firstKept), limit))
	copy(grown, b)
	return grown
}

// endOfInput is called when the peer has closed its direction; err is not nil if
// not in order. What is pending is still sent: it may have closed that direction
// only.
func (l *Loop) endOfInput(c *Conn, err error) {
	c.state |= ended
	if c.Pending() == 0 && c.tls == nil {
		c.doom(err)
		return
	}
	l.beginClose(c, err)
}

// offer gives b, which is borrowed or the kept input itself, to the handler, and keeps
// what is left.
func (l *Loop) offer(c *Conn, b []byte) {
	for {
		c.state &^= replaced | resumed
		n := l.data(c, b)
		if c.state&mute != 0 {
			return
		}
		b = b[n:]
		if len(b) == 0 || c.state&replaced == 0 || c.state&deaf != 0 {
			break
		}
	}
	l.keep(c, b)
}

func (l *Loop) keep(c *Conn, b []byte) {
	switch {
	case len(b) == 0:
		if c.x != nil {
			c.x.in = nil
			c.slim()
		}
	case len(b) >= l.r.opts.MaxInput && c.state&deaf == 0:
		c.doom(ErrTooLarge)
	default:
		x := c.side()
		x.in = append(x.in[:0], b...)
	}
}

// data calls the handler. Until it returns, b is what Detach hands out. A
// handler that claims more than it was given has a bug, and is treated like one
// that panics.
func (l *Loop) data(c *Conn, b []byte) (n int) {
	l.current, l.borrowed = c, b
	defer l.guard(c)
	n = c.h.Data(c, b)
	_ = b[n:]
	return n
}

// discard drops what a closing connection still receives: were it left unread,
// the kernel would answer our close with a reset, and the peer lose what we
// sent last.
func (l *Loop) discard(c *Conn) {
	n, e := l.wire.recv(c.fd, l.buf)
	switch {
	case e == syscall.EAGAIN:
	case e != 0:
		c.doom(e)
	case n == 0:
		c.state |= ended
		if c.state&shut != 0 {
			c.doom(c.x.err)
			return
		}
		c.rewatch(c.state & watchOut) // else the end would be reported for ever
	}
}

// socketError returns why the socket has failed.
func (c *Conn) socketError() error {
	v, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || v == 0 {
		return nil
	}
	return syscall.Errno(v)
}

package reactor

import "golang.org/x/sys/unix"

// Close ends the connection once all pending output has been sent, and in such
// a way that the last of it arrives: this side's direction is closed first, and
// the descriptor when the peer has closed the other, or Options.Linger is over.
// Input is dropped from now on, and Write does nothing.
func (c *Conn) Close() {
	if c.state&mute == 0 {
		c.Loop().beginClose(c, ErrClosed)
	}
}

// CloseNow ends the connection in this turn, whatever is pending.
func (c *Conn) CloseNow() { c.doom(ErrClosed) }

// beginClose flushes and closes c; err is what Closed will be told.
func (l *Loop) beginClose(c *Conn, err error) {
	x := c.side()
	x.in, x.err = nil, err
	x.deadline = l.now.Add(l.r.opts.CloseTimeout)
	c.state |= closing
	l.closing = append(l.closing, c)
	if x.pending == 0 {
		l.shutWrite(c)
		return
	}
	if c.state&ended != 0 {
		c.rewatch(watchOut)
		return
	}
	c.watch()
}

// shutWrite closes our direction, now that nothing is pending. With TLS, that is
// told first.
func (l *Loop) shutWrite(c *Conn) {
	if c.tls != nil {
		if l.notifyClose(c); c.x.pending > 0 {
			return // flushed calls this again
		}
	}
	if c.state&ended != 0 {
		c.doom(c.x.err)
		return
	}
	c.state |= shut
	if err := unix.Shutdown(int(c.fd), unix.SHUT_WR); err != nil {
		c.doom(c.x.err) // the peer has gone
		return
	}
	c.x.deadline = l.now.Add(l.r.opts.Linger)
	c.watch()
}

// closingPiece is how many closing connections a turn looks at.
const closingPiece = 128

// expire begins to look at all closing connections, unless that is under way.
func (l *Loop) expire() {
	if l.toExpire == 0 && len(l.closing) > 0 {
		l.toExpire = len(l.closing)
		l.Later(l.expirePiece)
	}
}

// expirePiece ends those whose time is over of a piece of the first toExpire, from the
// last on, and leaves the rest to later turns, whatever becomes of the piece.
func (l *Loop) expirePiece() {
	end := l.toExpire
	l.toExpire = max(end-closingPiece, 0)
	if l.toExpire > 0 {
		l.Later(l.expirePiece)
	}
	for i := end - 1; i >= l.toExpire; i-- {
		c := l.closing[i]
		if ended := c.state&(gone|doomed) != 0; !ended {
			if l.now.Before(c.x.deadline) {
				continue
			}
			c.doom(ErrTimeout)
		}
		last := len(l.closing) - 1
		l.closing[i], l.closing[last] = l.closing[last], nil
		l.closing = l.closing[:last]
	}
}

// doom ends c when this turn is settled. Until then its descriptor stays open,
// so that its number cannot be given to another connection while there are
// still events of this turn.
func (c *Conn) doom(err error) {
	if c.state&(doomed|gone) != 0 {
		return
	}
	c.side().err = err
	c.state |= doomed
	c.Loop().settleLater(c)
}

// finish closes the descriptor and tells the handler.
func (l *Loop) finish(c *Conn) {
	err := c.x.err
	l.forget(c)
	c.x, c.tls = nil, nil
	_ = unix.Close(int(c.fd))
	defer l.guard(c)
	c.h.Closed(c, err)
}

// forget takes c out of the table.
func (l *Loop) forget(c *Conn) {
	l.conns[c.fd] = nil
	l.count.Add(-1)
	c.state |= gone
}

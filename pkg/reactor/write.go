package reactor

// Write sends bufs, one after the other, in one system call if the socket takes
// them. It never blocks: what is not taken is kept, by reference, and sent when
// there is room; so the slices must not be written to afterwards, and may be
// shared with any number of connections. It reports whether anything is pending.
//
// Nothing bounds what is pending but the caller, who sees it in Pending. If the
// peer has gone, nothing is pending either: Lost tells at once, and Closed later.
func (c *Conn) Write(bufs ...[]byte) (blocked bool) {
	if c.state&mute != 0 {
		return false
	}
	if c.x != nil && c.x.pending > 0 {
		c.x.add(bufs, 0)
		return true
	}
	if c.tls != nil {
		return c.writeSealed(bufs)
	}
	for len(bufs) > 0 {
		chunk := bufs[:min(len(bufs), maxVectors)]
		n, e := c.Loop().wire.send(c.fd, chunk)
		if e != 0 {
			c.doom(e)
			return false
		}
		if n < size(chunk) {
			c.block(bufs, n)
			return true
		}
		bufs = bufs[len(chunk):]
	}
	return false
}

// Lost reports whether the connection has failed or ended, so that the socket has not
// taken what was written last, nor will take anything.
func (c *Conn) Lost() bool { return c.state&(doomed|gone) != 0 }

func size(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// block keeps what follows the first n bytes of bufs.
func (c *Conn) block(bufs [][]byte, n int) {
	x := c.side()
	x.add(bufs, n)
	x.progress = c.Loop().now
	c.watch()
}

// add appends bufs without their first skip bytes.
func (x *side) add(bufs [][]byte, skip int) {
	for _, b := range bufs {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		x.out = append(x.out, b[skip:])
		x.pending += len(b) - skip
		skip = 0
	}
}

// flush is called when epoll reports room for output.
func (l *Loop) flush(c *Conn) {
	x := c.x
	if x == nil || c.state&(doomed|moving) != 0 {
		return
	}
	if c.tls != nil {
		if !l.flushSealed(c) {
			return
		}
		x.answers = 0
	}
	for x.pending > 0 {
		n, e := l.wire.send(c.fd, x.out[:min(len(x.out), maxVectors)])
		if e != 0 {
			c.doom(e)
			return
		}
		if n == 0 {
			return
		}
		x.progress = l.now
		x.drop(n)
	}
	x.out = nil
	l.flushed(c)
}

// drop removes the first n bytes of the pending output.
func (x *side) drop(n int) {
	x.pending -= n
	k := 0
	for k < len(x.out) && n >= len(x.out[k]) {
		n -= len(x.out[k])
		x.out[k] = nil
		k++
	}
	x.out = x.out[k:]
	if n > 0 {
		x.out[0] = x.out[0][n:]
	}
}

func (l *Loop) flushed(c *Conn) {
	if c.state&closing != 0 {
		l.shutWrite(c)
		return
	}
	c.watch()
	c.slim()
	l.writable(c)
}

func (l *Loop) writable(c *Conn) {
	defer l.guard(c)
	c.h.Writable(c)
}

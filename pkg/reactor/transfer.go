package reactor

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detach takes the connection out of its loop and returns it as a net.Conn,
// together with the bytes that were read but not consumed: called from Data,
// all that this call was given, whatever it returns. Closed will not be called.
//
// With TLS it is a *tls.Conn, which Adopt takes back.
//
// It fails with ErrPending while output is pending; the connection then stays.
// After any other error it is closed.
func (c *Conn) Detach() (net.Conn, []byte, error) {
	l := c.Loop()
	if c.state&(mute|moving) != 0 {
		return nil, nil, ErrClosed
	}
	if c.Pending() > 0 {
		return nil, nil, ErrPending
	}
	var prefix []byte
	if l.current == c {
		prefix = bytes.Clone(l.borrowed)
	} else if c.x != nil {
		prefix = c.x.in
	}
	if err := l.poll.del(l.poll.of(c), int(c.fd)); err != nil {
		c.doom(err)
		return nil, nil, err
	}
	nc, err := fileConn(c.fd)
	if err != nil {
		c.doom(err)
		return nil, nil, err
	}
	l.forget(c)
	c.x = nil
	if s := c.tls; s != nil {
		c.tls = nil
		s.nc, s.loop = nc, l
		return s.tls, prefix, nil
	}
	return nc, prefix, nil
}

// fileConn returns the socket as a net.Conn and closes fd, of which that is a
// duplicate.
func fileConn(fd int32) (net.Conn, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the descriptor: %w", err)
	}
	f := os.NewFile(uintptr(dup), "conn")
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("hand over the connection: %w", err)
	}
	_ = unix.Close(int(fd))
	return nc, nil
}

// Adopt takes over nc, whose handler will be h and whose first input is prefix.
// From any goroutine. nc is closed (its socket lives on in a duplicate), also if
// this fails. The Conn that is returned may be used by what is posted to the
// loop afterwards.
//
// If nc stands before another connection, of which it has read more than it has
// passed on, its method Unwrap gives that up, and what follows prefix. A *tls.Conn
// that came from Detach goes on with its TLS; nobody else may use it any more. The
// connection is urgent.
func (l *Loop) Adopt(nc net.Conn, prefix []byte, h Handler) (*Conn, error) {
	if w, ok := nc.(interface{ Unwrap() (net.Conn, []byte) }); ok {
		inner, unread := w.Unwrap()
		nc, prefix = inner, slices.Concat(prefix, unread)
	}
	s := secureOf(nc)
	if s != nil {
		nc = s.nc
	}
	defer nc.Close()
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, ErrNotSocket
	}
	fd, err := duplicate(sc)
	if err != nil {
		return nil, err
	}
	c := &Conn{h: h, fd: int32(fd), state: urgent}
	c.loop.Store(l)
	if s != nil {
		c.tls, s.nc = s, nil
	}
	if len(prefix) > 0 {
		c.side().in = bytes.Clone(prefix)
	}
	l.count.Add(1)
	if !l.post(func() { l.arrive(c, nil) }) {
		l.count.Add(-1)
		_ = unix.Close(fd)
		return nil, ErrShutdown
	}
	return c, nil
}

// duplicate returns a duplicate of the socket, which is non-blocking, for so
// are those of package net.
func duplicate(sc syscall.Conn) (int, error) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("reach the descriptor: %w", err)
	}
	dup := -1
	err2 := raw.Control(func(fd uintptr) {
		dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = err2
	}
	if err != nil {
		return -1, fmt.Errorf("duplicate the descriptor: %w", err)
	}
	return dup, nil
}

// Move hands the connection over to another loop, with kept input and pending
// output, when this turn is settled; then runs there (it may be nil). From this
// call on, only the other loop may use the connection. If the connection ends
// before it arrives, its handler is told where it is, and then does not run.
func (c *Conn) Move(to *Loop, then func(c *Conn)) {
	if c.state&(mute|moving) != 0 {
		return
	}
	x := c.side()
	x.to, x.then = to, then
	c.state |= moving
	c.Loop().settleLater(c)
}

// depart sends c on its way. Until it arrives, moving stays set; the loop it
// goes to may have been its loop before, and may still run what was posted then.
func (l *Loop) depart(c *Conn) {
	if c.x.to == nil {
		return // it is on its way
	}
	if c.state&closing != 0 || c.x.to == l {
		l.stay(c)
		return
	}
	if err := l.poll.del(l.poll.of(c), int(c.fd)); err != nil {
		c.doom(err)
		return
	}
	l.forget(c)
	to, then := c.x.to, c.x.then
	c.x.to, c.x.then = nil, nil
	c.state &^= gone | watchIn | watchOut
	to.count.Add(1)
	// Whoever sees the new loop posts to it only after this, and so finds the
	// connection arrived. A loop takes posts until all loops have closed their
	// connections, so this one is not lost.
	to.mu.Lock()
	defer to.mu.Unlock()
	c.loop.Store(to)
	to.postLocked(func() { to.arrive(c, then) })
}

// stay ends a move that leads nowhere.
func (l *Loop) stay(c *Conn) {
	then := c.x.then
	c.x.to, c.x.then = nil, nil
	c.state &^= moving
	c.watch()
	if then != nil && c.state&closing == 0 {
		l.call(c, then)
	}
	if c.state&gone == 0 {
		l.takeUnsealed(c)
		l.offerKept(c)
	}
}

// arrive registers c, which may have come from another loop, from Adopt or from
// an accept on another loop, and offers it what is kept.
func (l *Loop) arrive(c *Conn, then func(*Conn)) {
	c.state &^= moving
	if c.state&gone != 0 {
		return // it was ended on its way
	}
	if c.lastRead == 0 {
		c.lastRead = l.elapsed // adopted
	}
	if !l.register(c) {
		return
	}
	if then != nil && c.state&mute == 0 {
		l.call(c, then)
	}
	if c.state&gone == 0 {
		l.takeUnsealed(c)
		l.offerKept(c)
	}
}

// offerKept has settle offer what is kept, and the end behind it if that has come.
func (l *Loop) offerKept(c *Conn) {
	if c.x != nil && len(c.x.in) > 0 {
		c.state |= resumed
		l.settleLater(c)
	}
	if c.tls != nil && c.tls.end != nil {
		l.settleLater(c)
	}
	c.slim()
}

func (l *Loop) call(c *Conn, f func(*Conn)) {
	defer l.guard(c)
	f(c)
}

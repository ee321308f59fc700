package reactor

import (
	"crypto/x509"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Handler is what a connection belongs to. All its methods are called on the
// connection's loop and must not block. One that panics loses its connection,
// and no other.
type Handler interface {
	// Data is called with all bytes there are that were not consumed before, and
	// returns how many it consumed. The bytes are borrowed: valid during the
	// call, and may be modified in place; what is not consumed is kept as the
	// call left it and offered again when there are more. The connection is
	// closed (ErrTooLarge) if nothing of Options.MaxInput bytes is consumed.
	//
	// If the handler is replaced meanwhile (SetHandler), the rest is offered to
	// the new one at once.
	Data(c *Conn, b []byte) (consumed int)
	// Writable is called when all that was pending has been written.
	Writable(c *Conn)
	// Closed is called exactly once and is the last call, unless the connection
	// was detached. err is nil for a clean end by the peer. It is never called
	// from within a method of the Conn, but later: in the same turn or, if a
	// hook of the loop has ended the connection, in the next, which follows at
	// once.
	Closed(c *Conn, err error)
}

// A Conn is one parked connection. It is owned by its loop: its methods are
// called on that loop's goroutine only, but for Loop. After its end, and after
// Detach, they do nothing.
//
// It is small, because there are many; what only a busy connection needs is in
// the side object.
type Conn struct {
	loop     atomic.Pointer[Loop]
	h        Handler
	x        *side
	tls      *secure       // nil without TLS, and during its handshake
	lastRead time.Duration // since the reactor's start
	fd       int32
	gen      uint32
	state    state
}

// A side exists while a connection has kept input or pending output, or is
// about to end or to move.
type side struct {
	in       []byte   // kept input
	out      [][]byte // pending output, the first partly written
	sealed   []byte   // with TLS: what was encrypted before out
	answers  int      // bytes in there that crypto/tls said by itself
	pending  int      // bytes in sealed and out
	progress time.Time
	deadline time.Time // of a close
	err      error     // why it ends
	to       *Loop     // where it moves
	then     func(*Conn)
}

type state uint16

const (
	watchIn  state = 1 << iota // epoll tells when there is input
	watchOut                   // and when there is room for output
	paused                     // by PauseRead
	resumed                    // by ResumeRead: settle offers what is kept
	replaced                   // the handler was: the new one is offered the rest at once
	urgent                     // by SetUrgent
	midst                      // by ReadOn
	filled                     // its last read was, see Loop.filled
	queued                     // in the loop's list of connections to settle
	closing                    // output is flushed, input dropped
	shut                       // our direction is closed
	ended                      // the peer's direction is closed
	moving                     // leaves for another loop when the turn is settled, or is on its way
	doomed                     // is removed when the turn is settled
	gone                       // removed, or detached
)

// deaf are the states in which the handler is offered nothing, mute those in
// which it writes in vain.
const (
	deaf = paused | closing | moving | doomed | gone
	mute = closing | doomed | gone
)

// Loop returns the loop that owns the connection. From any goroutine; what is
// posted to it should check that the connection has not moved meanwhile.
func (c *Conn) Loop() *Loop { return c.loop.Load() }

// SetHandler replaces the handler. What input there is that was not consumed is
// offered to the new one.
func (c *Conn) SetHandler(h Handler) {
	if c.state&gone != 0 {
		return
	}
	c.h = h
	c.state |= replaced
	if l := c.Loop(); l.current != c {
		l.settleLater(c)
	}
}

// Handler returns the current handler.
func (c *Conn) Handler() Handler { return c.h }

// PauseRead stops Data from being called until ResumeRead; when called from
// Data, what that call does not consume is kept.
func (c *Conn) PauseRead() { c.state |= paused }

// ResumeRead ends PauseRead. What was kept meanwhile is offered in this turn or
// the next, never from within this call.
func (c *Conn) ResumeRead() {
	if c.state&paused == 0 {
		return
	}
	c.state = c.state&^paused | resumed
	if c.state&(mute|moving) == 0 {
		c.watch()
		c.Loop().settleLater(c)
	}
}

// ReadOn has what follows be read in this turn, as far as it has come: the handler, in
// Data, has taken the beginning of a message. Where many send large ones at once each is
// then done with before the next is begun, instead of all of them being kept at a time.
// Whoever goes on without end has its turns all the same; see mostRead.
func (c *Conn) ReadOn() { c.state |= midst }

// Unread reports whether something has come that was not read yet, as where it waits
// behind what is urgent.
func (c *Conn) Unread() bool {
	if c.state&gone != 0 {
		return false
	}
	n, err := unix.IoctlGetInt(int(c.fd), unix.SIOCINQ) // tcp(7)
	return err == nil && n > 0
}

// LastRead returns when the last bytes came from the peer (or when it
// connected), to the grain of a tick.
func (c *Conn) LastRead() time.Time { return c.Loop().r.start.Add(c.lastRead) }

// Stalled returns since when output has been pending of which the peer has
// taken nothing, to the grain of a tick; the zero time if none is pending.
func (c *Conn) Stalled() time.Time {
	if c.x == nil || c.x.pending == 0 {
		return time.Time{}
	}
	return c.x.progress
}

// Pending returns how many bytes the socket has not taken yet.
func (c *Conn) Pending() int {
	if c.x == nil {
		return 0
	}
	return c.x.pending
}

// RemoteAddr returns the peer's address: the zero AddrPort on a Unix socket or
// if the peer has reset the connection. It asks the kernel; nothing is kept.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.address(unix.Getpeername) }

// LocalAddr returns this side's address: the zero AddrPort on a Unix socket.
func (c *Conn) LocalAddr() netip.AddrPort { return c.address(unix.Getsockname) }

func (c *Conn) address(get func(int) (unix.Sockaddr, error)) netip.AddrPort {
	if c.state&gone != 0 {
		return netip.AddrPort{}
	}
	sa, err := get(int(c.fd))
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// Secured reports whether the connection has TLS.
func (c *Conn) Secured() bool { return c.tls != nil }

// Protocol returns what the peer and this side have agreed on by ALPN (RFC
// 7301); "" without TLS, and if they have not.
func (c *Conn) Protocol() string {
	if c.tls == nil {
		return ""
	}
	return c.tls.tls.ConnectionState().NegotiatedProtocol
}

// Certificates returns those that the peer has shown in its handshake, its own first;
// none without TLS, and if it has shown none. That they are good is what the listener's
// configuration sees to.
func (c *Conn) Certificates() []*x509.Certificate {
	if c.tls == nil {
		return nil
	}
	return c.tls.tls.ConnectionState().PeerCertificates
}

// SetUserTimeout has the kernel end the connection when what was sent has not
// been acknowledged for so long (TCP_USER_TIMEOUT; RFC 5482): a peer that has gone
// without a word is noticed by what is sent to it, also where nothing ever comes
// from it. A socket of another kind has no such timeout, and needs none.
func (c *Conn) SetUserTimeout(d time.Duration) {
	if c.state&gone == 0 {
		_ = unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	}
}

// SetKeepAlive has the kernel ask the peer's after so much silence whether it is still
// there, in whole seconds (RFC 9293, section 3.8.4): for one of which nothing needs to
// come, and to which nothing may be sent for long. An answer to three such questions in
// a row, ten seconds apart, or within the user timeout, has to come.
func (c *Conn) SetKeepAlive(idle time.Duration) {
	if c.state&gone != 0 {
		return
	}
	fd := int(c.fd) // a socket of another kind has none of this, and needs none
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(idle.Seconds()))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
}

// side returns the side object, made if there was none.
func (c *Conn) side() *side {
	if c.x == nil {
		c.x = &side{}
	}
	return c.x
}

// slim drops the side object if nothing is in it any more.
func (c *Conn) slim() {
	if x := c.x; x != nil && len(x.in) == 0 && x.pending == 0 && c.state&(closing|doomed|moving) == 0 {
		c.x = nil
	}
}

// watch makes epoll report what is wanted now. Input is not unwatched here: a
// paused connection mostly is resumed before there is any, which then has cost
// no system call.
func (c *Conn) watch() {
	want := c.state & (watchIn | watchOut) &^ watchOut
	if c.state&paused == 0 || c.state&closing != 0 {
		want |= watchIn
	}
	if c.Pending() > 0 {
		want |= watchOut
	}
	c.rewatch(want)
}

func (c *Conn) rewatch(want state) {
	if c.state&(watchIn|watchOut) == want || c.state&(moving|gone) != 0 {
		return
	}
	c.state = c.state&^(watchIn|watchOut) | want
	p := c.Loop().poll
	if err := p.mod(p.of(c), int(c.fd), c.gen, want.events()); err != nil {
		c.doom(err)
	}
}

func (s state) events() (ev uint32) {
	if s&watchIn != 0 {
		ev |= unix.EPOLLIN
	}
	if s&watchOut != 0 {
		ev |= unix.EPOLLOUT
	}
	return ev
}

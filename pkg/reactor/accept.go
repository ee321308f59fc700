package reactor

import (
	"crypto/tls"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acceptBurst is how many connections a loop accepts from one listener a turn.
const acceptBurst = 32

// maxUnsent is about how many bytes the kernel keeps of what a connection's peer has no
// room for (TCP_NOTSENT_LOWAT of tcp(7)). Else it keeps up to tcp_wmem, 4 MB, of each
// that reads nothing, outside of what we can see or bound.
const maxUnsent = 128 << 10

// A listener is one listening socket, watched by all loops: EPOLLEXCLUSIVE has
// the kernel wake one of them for a connection.
type listener struct {
	of     net.Listener // whose socket this is; the key for Unlisten
	fd     int32        // our duplicate
	tcp    bool
	tls    *tls.Config // nil without TLS
	accept func(*Conn) Handler
}

// watchListener begins to accept. A listener that was given up for want of
// descriptors is added again by rearm.
func (l *Loop) watchListener(ln *listener) error {
	return l.poll.add(l.poll.fd, int(ln.fd), 0, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
}

func (l *Loop) listenerOf(fd int32) *listener {
	for _, ln := range l.listeners {
		if ln.fd == fd {
			return ln
		}
	}
	return nil // it was taken away meanwhile
}

// accept takes what is waiting.
func (l *Loop) accept(fd int32) {
	ln := l.listenerOf(fd)
	if ln == nil {
		return
	}
	for range acceptBurst {
		s, e := accept4(fd)
		switch e {
		case 0:
			l.admit(ln, s)
		case syscall.EAGAIN:
			return
		case syscall.EMFILE, syscall.ENFILE:
			if !l.shedOne(ln) {
				l.mute(ln)
				return
			}
		case syscall.ENOBUFS, syscall.ENOMEM:
			l.mute(ln)
			return
		default: // that connection has ended already
		}
	}
}

func accept4(fd int32) (int32, syscall.Errno) {
	s, _, e := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	return int32(s), e
}

// admit makes a connection of the socket s, here or on a loop with fewer.
func (l *Loop) admit(ln *listener, s int32) {
	if int(s) >= l.r.limit || l.r.Len() >= l.r.opts.MaxConns {
		l.refuse(s)
		return
	}
	l.r.accepted.Add(1)
	if ln.tcp {
		setTCP(s, unix.TCP_NODELAY, 1)
		setTCP(s, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	}
	c := &Conn{fd: s, h: opening{}}
	to := l.r.roomiest(l)
	c.loop.Store(to)
	to.count.Add(1)
	if to == l {
		l.open(c, ln)
		return
	}
	to.post(func() { to.open(c, ln) })
}

// open registers an accepted connection and asks for its handler, once there is
// TLS if it has any.
func (l *Loop) open(c *Conn, ln *listener) {
	c.lastRead = l.elapsed
	if !l.register(c) {
		return
	}
	if ln.tls != nil {
		c.h = l.newHandshake(c, ln)
		return
	}
	l.call(c, ln.begin)
}

// begin asks for the handler of a connection that is ready for one.
func (ln *listener) begin(c *Conn) {
	if h := ln.accept(c); h != nil {
		c.h = h
		return
	}
	c.doom(ErrClosed)
}

// opening is the handler until there is one, so that a connection which is
// closed before has somebody to tell.
type opening struct{}

func (opening) Data(*Conn, []byte) int { return 0 }
func (opening) Writable(*Conn)         {}
func (opening) Closed(*Conn, error)    {}

// setTCP sets an option of TCP. Not on the listener: one of Go's is for MPTCP, and hands
// on none of them.
func setTCP(fd int32, option uintptr, value int32) {
	_, _, _ = syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, option,
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
}

// refuse closes a connection for which there is no room.
func (l *Loop) refuse(s int32) {
	l.shed++
	l.r.shed.Add(1)
	_ = unix.Close(int(s))
}

// shedOne closes the connection that waits first. Without descriptors it could
// neither be accepted nor refused, and would be reported for ever; so one
// descriptor is kept to be given up for it.
func (l *Loop) shedOne(ln *listener) bool {
	if l.spareFD < 0 {
		return false
	}
	_ = unix.Close(l.spareFD)
	s, e := accept4(ln.fd)
	if e == 0 {
		l.refuse(s)
	}
	l.spareFD = openSpare()
	return l.spareFD >= 0
}

// openSpare returns a descriptor that serves as room for another, or -1.
func openSpare() int {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// mute stops accepting until the next tick.
func (l *Loop) mute(ln *listener) {
	if l.poll.del(l.poll.fd, int(ln.fd)) == nil {
		l.muted = append(l.muted, ln)
	}
}

// rearm accepts again where that was stopped, and tells what was shed.
func (l *Loop) rearm() {
	if l.shed > 0 {
		l.r.log.WithField("connections", l.shed).Warn("refused: no descriptors left, or too many connections")
		l.shed = 0
	}
	if l.spareFD < 0 {
		l.spareFD = openSpare()
	}
	for _, ln := range l.muted {
		if err := l.watchListener(ln); err != nil {
			l.r.log.WithError(err).Error("cannot accept")
		}
	}
	l.muted = l.muted[:0]
}

package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A Handler is what a connection is for. Its methods run on the loop.
type Handler interface {
	// Open is called when the connection is there, and may write.
	Open(c *Conn)
	// Data is given what was received and returns how much of it was used; the
	// rest comes again, with more. The bytes are the loop's.
	Data(c *Conn, b []byte) int
	// Closed is called when the other side, or an error, has ended the connection.
	Closed(c *Conn, err error)
}

// A Loop is one epoll and its connections. One goroutine uses it.
type Loop struct {
	// TLS is what connections that are dialled from now on have, if not nil.
	TLS *tls.Config

	poll    int
	conns   []*Conn // by descriptor
	buf     []byte
	plain   []byte // what was decrypted
	events  [512]unix.EpollEvent
	dialed  uint32 // for the choice of the source address
	opening int    // connections that are not open yet
	now     time.Time
}

// A Conn is one connection of a loop.
type Conn struct {
	loop    *Loop
	fd      int
	handler Handler
	in, out []byte // an incomplete message; what the socket did not take
	open    bool
	deaf    bool
	tls     *sealed // nil without TLS
}

// NewLoop returns a loop. Close ends it.
func NewLoop() (*Loop, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &Loop{poll: poll, buf: make([]byte, 256<<10), now: time.Now()}, nil
}

// Close closes all connections.
func (l *Loop) Close() {
	for _, c := range l.conns {
		if c != nil {
			c.Close()
		}
	}
	unix.Close(l.poll)
}

// Now returns the time at which the loop last looked at its sockets.
func (l *Loop) Now() time.Time { return l.now }

// sources is how many loopback addresses connections come from, so that no run
// exhausts the ports of one.
const sources = 200

// Dial begins to connect to a loopback address.
func (l *Loop) Dial(to netip.AddrPort, h Handler) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	l.dialed++
	from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(2 + l.dialed%sources)}}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Bind(fd, from),
	)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	c := &Conn{loop: l, fd: fd, handler: h}
	if l.TLS != nil {
		c.tls = newSealed(l.TLS)
	}
	if fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*Conn, fd+1-len(l.conns))...)
	}
	l.conns[fd] = c
	l.opening++
	return c.watch(unix.EPOLL_CTL_ADD)
}

// Opening returns how many connections are being made.
func (l *Loop) Opening() int { return l.opening }

// Turn waits for something to happen, at most that long, and handles it.
func (l *Loop) Turn(wait time.Duration) error {
	n, err := unix.EpollWait(l.poll, l.events[:], int(wait.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll_wait: %w", err)
	}
	l.now = time.Now()
	for i := range max(n, 0) {
		ev := &l.events[i]
		c := l.conns[ev.Fd]
		if c == nil {
			continue // closed by an event before this one
		}
		if ev.Events&unix.EPOLLOUT != 0 {
			c.writable()
		}
		if ev.Events&^unix.EPOLLOUT != 0 && l.conns[ev.Fd] == c {
			c.readable()
		}
	}
	return nil
}

// Until turns until done. It gives up when that has taken longer than patience.
func (l *Loop) Until(patience time.Duration, what string, done func() bool) error {
	for end := time.Now().Add(patience); !done(); {
		if l.now.After(end) {
			return fmt.Errorf("%s: not within %s", what, patience)
		}
		if err := l.Turn(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// For turns for that long.
func (l *Loop) For(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := l.Turn(min(left+time.Millisecond, 100*time.Millisecond)); err != nil {
			return err
		}
	}
}

func (c *Conn) watch(operation int) error {
	events := uint32(unix.EPOLLIN)
	if c.deaf {
		events = unix.EPOLLRDHUP
	}
	if !c.open || len(c.out) > 0 {
		events |= unix.EPOLLOUT
	}
	err := unix.EpollCtl(c.loop.poll, operation, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
	if err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// Deafen has nothing be read from the connection any more.
func (c *Conn) Deafen() {
	c.deaf = true
	_ = c.watch(unix.EPOLL_CTL_MOD) // fails for a closed descriptor only
}

// Close closes the connection. The handler is not told.
func (c *Conn) Close() {
	if !c.open {
		c.loop.opening--
	}
	c.loop.conns[c.fd] = nil
	unix.Close(c.fd)
}

func (c *Conn) fail(err error) {
	c.Close()
	c.handler.Closed(c, err)
}

// Write sends b, or keeps what the socket does not take.
func (c *Conn) Write(b []byte) {
	if c.tls != nil {
		_, _ = c.tls.tls.Write(b) // a failure is noticed when it is read from
		b = c.tls.take()
	}
	c.send(b)
}

func (c *Conn) send(b []byte) {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	n, err := unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
	if err != nil {
		n = 0 // a peer that has gone is noticed when it is read from
	}
	if n < len(b) {
		c.out = append(c.out, b[n:]...)
		_ = c.watch(unix.EPOLL_CTL_MOD) // fails for a closed descriptor only
	}
}

// readsOn has the kernel go on as for a peer that only reads, after something was
// written: it acknowledges what is read when it is read. It would take the connection for
// a dialogue (TCP_QUICKACK of tcp(7)) and wait for the next thing that is written; of two
// messages the second is then acknowledged as it arrives. Over loopback it arrives within
// the server's own send, which has to take that acknowledgement before it returns: a third
// of its time for 1 KiB to 100 subscribers. Over a network there is none of it.
func (c *Conn) readsOn() {
	_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // fails for a closed descriptor only
}

func (c *Conn) writable() {
	if !c.open {
		if e, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || e != 0 {
			c.fail(errors.Join(err, unix.Errno(e)))
			return
		}
		c.open = true
		c.loop.opening--
		if c.tls != nil {
			c.shake(nil)
		} else {
			c.handler.Open(c)
		}
	}
	if len(c.out) > 0 {
		n, err := unix.SendmsgN(c.fd, c.out, nil, nil, unix.MSG_NOSIGNAL)
		if err == nil {
			c.out = append(c.out[:0], c.out[n:]...)
		}
	}
	if len(c.out) == 0 {
		c.out = nil
		_ = c.watch(unix.EPOLL_CTL_MOD) // fails for a closed descriptor only
	}
}

// shake goes on with the handshake of TLS.
func (c *Conn) shake(received []byte) {
	done, err := c.tls.shake(received)
	c.send(c.tls.take())
	switch {
	case err != nil:
		c.fail(err)
	case done:
		c.handler.Open(c)
		c.decrypt(nil)
	}
}

// decrypt hands over what was received over TLS.
func (c *Conn) decrypt(received []byte) {
	l := c.loop
	var err error
	if l.plain, err = c.tls.open(append(l.plain[:0], c.in...), received); err != nil {
		c.fail(err)
		return
	}
	c.send(c.tls.take())
	c.deliver(l.plain)
}

func (c *Conn) readable() {
	buf := c.loop.buf
	have := 0
	if c.tls == nil {
		have = copy(buf, c.in)
	}
	n, err := unix.Read(c.fd, buf[have:])
	switch {
	case errors.Is(err, unix.EAGAIN):
		return
	case err != nil:
		c.fail(err)
		return
	case n == 0:
		c.fail(errors.New("the server has closed the connection"))
		return
	}
	switch {
	case c.tls == nil:
		c.deliver(buf[:have+n])
	case c.tls.step != nil:
		c.shake(buf[:n])
	default:
		c.decrypt(buf[:n])
	}
}

// deliver gives the handler what there is, and keeps what it does not use.
func (c *Conn) deliver(b []byte) {
	if len(b) == 0 {
		return
	}
	used := c.handler.Data(c, b)
	if c.loop.conns[c.fd] != c {
		return
	}
	if used == len(b) {
		c.in = nil
	} else {
		c.in = append(c.in[:0], b[used:]...)
	}
}

package reactor

import (
	"crypto/tls"
	"net"
	"time"
)

// A secure is the TLS of one connection: crypto/tls above, and below it, as its
// net.Conn, either nothing but two slices or a blocking socket.
//
// While the connection is parked, Read takes what the loop has received and
// answers "would block" when that is used up, which crypto/tls takes for a
// temporary error and after which it goes on where it stopped; Write only
// gathers, and the loop sends. Nothing then belongs to it but what crypto/tls
// keeps. After Detach it passes everything to the socket.
//
// It belongs to whoever has the connection: the loop, a worker during a step of
// the handshake, or who has detached it.
type secure struct {
	tls *tls.Conn

	in  []byte // received, and not taken by crypto/tls yet
	out []byte // what crypto/tls has to send
	end error  // why no input follows, io.EOF after a close_notify; nil while some may

	more     func() bool // during the handshake: waits for input; false: there will be none
	notified bool        // close_notify was sent

	nc   net.Conn // while it is detached
	loop *Loop    // where it was then
}

var _ net.Conn = (*secure)(nil)

// A wouldBlock is the error that has crypto/tls stop without failing.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "there is no more input yet" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }

// Read gives crypto/tls what has come.
func (s *secure) Read(p []byte) (n int, err error) {
	for len(s.in) == 0 {
		switch {
		case s.nc != nil:
			return s.nc.Read(p)
		case s.more == nil:
			return 0, wouldBlock{}
		case !s.more():
			return 0, net.ErrClosed
		}
	}
	n = copy(p, s.in)
	if s.in = s.in[n:]; len(s.in) == 0 {
		s.in = nil
	}
	return n, nil
}

// Write takes what crypto/tls has to send.
func (s *secure) Write(p []byte) (n int, err error) {
	if s.nc != nil {
		return s.nc.Write(p)
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

// Close ends a connection that was detached: in stages, on the loop that it was
// on, so that what was sent last arrives (RFC 9112, section 9.6). Whoever still
// reads from it gets an error. A parked one is closed by its Conn.
func (s *secure) Close() error {
	if s.nc == nil {
		return nil
	}
	c, err := s.loop.Adopt(s.nc, nil, opening{})
	if err == nil {
		s.loop.Post(c.Close)
	}
	return err
}

// LocalAddr returns the socket's address while the connection is detached.
func (s *secure) LocalAddr() net.Addr {
	if s.nc == nil {
		return &net.TCPAddr{}
	}
	return s.nc.LocalAddr()
}

// RemoteAddr returns the peer's address while the connection is detached.
func (s *secure) RemoteAddr() net.Addr {
	if s.nc == nil {
		return &net.TCPAddr{}
	}
	return s.nc.RemoteAddr()
}

// SetDeadline has no meaning while the connection is parked: nothing waits.
func (s *secure) SetDeadline(t time.Time) error {
	if s.nc == nil {
		return nil
	}
	return s.nc.SetDeadline(t)
}

// SetReadDeadline is SetDeadline for reading.
func (s *secure) SetReadDeadline(t time.Time) error {
	if s.nc == nil {
		return nil
	}
	return s.nc.SetReadDeadline(t)
}

// SetWriteDeadline is SetDeadline for writing.
func (s *secure) SetWriteDeadline(t time.Time) error {
	if s.nc == nil {
		return nil
	}
	return s.nc.SetWriteDeadline(t)
}

// secureOf returns the TLS of a connection that Detach has returned, nil if it
// has none of ours.
func secureOf(nc net.Conn) *secure {
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	s, _ := t.NetConn().(*secure)
	return s
}

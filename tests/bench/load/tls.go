package load

import (
	"crypto/tls"
	"errors"
	"iter"
	"net"
	"time"
)

// A sealed is the TLS of one connection: crypto/tls over two slices. Its handshake
// is a coroutine, which yields where it wants to read more than there is.
type sealed struct {
	tls     *tls.Conn
	in, out []byte
	more    func() bool // while the handshake is made
	step    func() (struct{}, bool)
	err     error // of the handshake
}

var _ net.Conn = (*sealed)(nil)

func newSealed(c *tls.Config) *sealed {
	s := &sealed{}
	s.tls = tls.Client(s, c)
	s.step, _ = iter.Pull(func(yield func(struct{}) bool) {
		s.more = func() bool { return yield(struct{}{}) }
		s.err = s.tls.Handshake()
	})
	return s
}

// shake goes on with the handshake, and reports whether it is done.
func (s *sealed) shake(received []byte) (done bool, err error) {
	s.in = append(s.in, received...)
	if _, more := s.step(); more {
		return false, nil
	}
	s.more, s.step = nil, nil
	return true, s.err
}

// open appends what was received, decrypted, to b.
func (s *sealed) open(b, received []byte) ([]byte, error) {
	s.in = append(s.in, received...)
	for {
		if cap(b)-len(b) < 16<<10 {
			b = append(b, make([]byte, 64<<10)...)[:len(b)]
		}
		n, err := s.tls.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, later{}):
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

// take returns what is to be sent.
func (s *sealed) take() []byte {
	out := s.out
	s.out = nil
	return out
}

// A later is the error that crypto/tls takes for a temporary one.
type later struct{}

func (later) Error() string   { return "nothing more was received yet" }
func (later) Timeout() bool   { return false }
func (later) Temporary() bool { return true }

// Read implements net.Conn.
func (s *sealed) Read(p []byte) (int, error) {
	for len(s.in) == 0 {
		if s.more == nil || !s.more() {
			return 0, later{}
		}
	}
	n := copy(p, s.in)
	if s.in = s.in[n:]; len(s.in) == 0 {
		s.in = nil
	}
	return n, nil
}

// Write implements net.Conn.
func (s *sealed) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

// Close implements net.Conn; the loop closes the socket.
func (s *sealed) Close() error { return nil }

// LocalAddr implements net.Conn.
func (s *sealed) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (s *sealed) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline implements net.Conn.
func (s *sealed) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (s *sealed) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (s *sealed) SetWriteDeadline(time.Time) error { return nil }

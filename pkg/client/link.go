package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/protocol"
)

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	farewellTime = time.Second
	maxFragments = 1024
)

// A link is one WebSocket connection. Its reader goroutine owns the reading
// side; everything else belongs to the goroutine that dialled. close ends both.
type link struct {
	conn net.Conn
	out  []byte // frames that flush writes

	in      chan frame    // unbuffered: what is not handled yet waits in the socket
	closing chan struct{} // closed by close
	done    chan struct{} // closed when the reader has ended, after err is set
	err     error
}

// A frame is a whole message or a control frame.
type frame struct {
	op   ws.OpCode
	data []byte
}

func dial(ctx context.Context, o *Options) (*link, error) {
	dialer := ws.Dialer{
		Protocols: []string{"orbit.v1"},
		Timeout:   dialTimeout,
		NetDial:   o.Dial,
		TLSConfig: o.TLS,
	}
	conn, buffered, hs, err := dialer.Dial(ctx, o.URL)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.URL, err)
	}
	if hs.Protocol != "orbit.v1" {
		conn.Close()
		return nil, fmt.Errorf("connect to %s: the server does not speak orbit.v1", o.URL)
	}
	if buffered == nil {
		buffered = bufio.NewReader(conn)
	}
	l := &link{
		conn:    conn,
		in:      make(chan frame),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	go l.read(buffered, o.MaxFrame)
	return l, nil
}

// close ends the connection and waits for the reader.
func (l *link) close() {
	close(l.closing)
	l.conn.Close()
	<-l.done
}

// farewell says by a close frame that the client goes, and waits a moment for the
// answer: then the server has taken what was sent before it, such as the last
// acknowledgements, and whoever takes the session up next finds it so.
func (l *link) farewell() {
	l.queue(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	l.conn.SetWriteDeadline(time.Now().Add(farewellTime))
	if _, err := l.conn.Write(l.out); err != nil {
		return // the connection ends either way
	}
	moment := time.NewTimer(farewellTime)
	defer moment.Stop()
	for {
		select {
		case <-l.in: // nobody is left to be told
		case <-l.done:
			return
		case <-moment.C:
			return
		}
	}
}

func (l *link) read(r *bufio.Reader, limit int) {
	defer close(l.done)
	m := messageReader{r: r, limit: limit}
	for {
		f, err := m.next()
		if err != nil {
			l.err = err
			return
		}
		select {
		case l.in <- f:
		case <-l.closing:
			l.err = net.ErrClosed
			return
		}
	}
}

// queue frames data to be written by the next flush.
func (l *link) queue(op ws.OpCode, data []byte) {
	h := ws.Header{Fin: true, OpCode: op, Masked: true, Mask: ws.NewMask(), Length: int64(len(data))}
	w := appender{l.out}
	ws.WriteHeader(&w, h) // an appender never fails
	l.out = append(w.b, data...)
	ws.Cipher(l.out[len(l.out)-len(data):], h.Mask, 0)
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func (l *link) flush() error {
	if len(l.out) == 0 {
		return nil
	}
	l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := l.conn.Write(l.out)
	l.out = l.out[:0]
	if cap(l.out) > 1<<20 {
		l.out = nil
	}
	return err
}

// A messageReader joins fragments (RFC 6455 section 5.4). Control frames may
// stand between them.
type messageReader struct {
	r         *bufio.Reader
	limit     int
	parts     []byte
	fragments int
}

var errViolation = errors.New("the server violates the WebSocket protocol")

func (m *messageReader) next() (frame, error) {
	for {
		h, err := ws.ReadHeader(m.r)
		if err != nil {
			return frame{}, err
		}
		if h.Masked || h.Rsv != 0 || h.OpCode.IsReserved() {
			return frame{}, errViolation
		}
		if h.Length > int64(m.limit-len(m.parts)) {
			return frame{}, fmt.Errorf("the server sent more than %d bytes", m.limit)
		}
		data := make([]byte, h.Length)
		if _, err := io.ReadFull(m.r, data); err != nil {
			return frame{}, err
		}
		switch f, whole, err := m.join(h, data); {
		case err != nil:
			return frame{}, err
		case whole:
			return f, nil
		}
	}
}

// join returns a frame when it is whole.
func (m *messageReader) join(h ws.Header, data []byte) (f frame, whole bool, err error) {
	switch {
	case h.OpCode.IsControl():
		if !h.Fin || h.Length > ws.MaxControlFramePayloadSize {
			return frame{}, false, errViolation
		}
		return frame{h.OpCode, data}, true, controlError(h.OpCode, data)
	case (h.OpCode == ws.OpContinuation) != (m.fragments > 0), h.OpCode == ws.OpBinary:
		return frame{}, false, errViolation
	case m.fragments == 0 && h.Fin:
		return frame{ws.OpText, data}, true, nil
	}
	m.parts = append(m.parts, data...)
	if m.fragments++; m.fragments > maxFragments {
		return frame{}, false, errViolation
	}
	if !h.Fin {
		return frame{}, false, nil
	}
	f = frame{ws.OpText, m.parts}
	m.parts, m.fragments = nil, 0
	return f, true, nil
}

// A CloseError is the server's close frame.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
}

func controlError(op ws.OpCode, data []byte) error {
	if op != ws.OpClose {
		return nil
	}
	code, reason := ws.ParseCloseFrameData(data)
	if !utf8.ValidString(reason) {
		reason = ""
	}
	return &CloseError{int(code), reason}
}

// send queues a command.
func (l *link) send(c *protocol.Command) { l.queueText(protocol.AppendCommand(nil, c)) }

func (l *link) queueText(line []byte) { l.queue(ws.OpText, line) }

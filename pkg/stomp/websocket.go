package stomp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/reactor"
)

// maxFragments bounds those of one message, as PROTOCOL.md has it.
const maxFragments = 1024

// Subprotocols are those of STOMP over WebSocket.
var Subprotocols = []string{"v12.stomp", "v11.stomp", "v10.stomp"}

// A websocket is what stands between a WebSocket's bytes and those of STOMP, of
// which messages and frames may hold any stretch: it keeps no payload.
type websocket struct {
	mask      [4]byte
	taken     int   // bytes of the current frame's payload
	missing   int64 // and those still to come
	fragments int   // of a message whose last is still to come
	isText    bool  // of the current message
	text      text
	looked    int   // bytes behind those taken that were looked at
	began     int64 // of the current message, Unix nanoseconds
	status    ws.StatusCode
}

// A request is what a connection has brought before CONNECT.
type request struct {
	began  time.Time
	brings auth.Credentials
	page   string
	from   netip.Addr
}

// Upgraded returns the handler of a connection that was upgraded to one of
// Subprotocols. The answer to its handshake is not sent yet; brings is what its
// request has brought, page what broker.Who.On takes, and from the client's address.
func (s *Server) Upgraded(rc *reactor.Conn, answer []byte, brings auth.Credentials, page string, from netip.Addr) reactor.Handler {
	rc.Write(answer)
	c := s.begin(rc)
	c.request.brings, c.request.page, c.request.from = brings, page, from
	c.socket = &websocket{status: ws.StatusNormalClosure}
	return c
}

// read takes bytes of the connection, and returns how many.
func (w *websocket) read(c *conn, b []byte) (n int) {
	for n < len(b) && !c.closed && !c.waits() {
		if w.missing > 0 {
			n += w.payload(c, b[n:])
			continue
		}
		took, ok := w.header(c, b[n:])
		if !ok {
			break
		}
		n += took
	}
	return n
}

// payload feeds what there is of the current frame's.
func (w *websocket) payload(c *conn, b []byte) (n int) {
	b = b[:min(int64(len(b)), w.missing)]
	ws.Cipher(b, w.mask, w.taken)
	if !w.isUTF8(b) {
		w.status = ws.StatusInvalidFramePayloadData
		c.end()
		return 0
	}
	n = c.feed(b)
	w.looked = len(b) - n
	ws.Cipher(b[n:], w.mask, w.taken+n) // they come again
	w.taken += n
	w.missing -= int64(n)
	return n
}

// isUTF8 looks at what there is of the current frame's payload, if it is to be text.
func (w *websocket) isUTF8(b []byte) bool {
	if !w.isText {
		return true
	}
	ends := int64(len(b)) == w.missing && w.fragments == 0
	return w.text.take(b[w.looked:]) && (!ends || w.text.whole())
}

// header reads a frame's header, and a control frame whole. ok is false if there is
// too little of it, or if it was the connection's end.
func (w *websocket) header(c *conn, b []byte) (n int, ok bool) {
	src := bytes.NewReader(b)
	h, err := ws.ReadHeader(src)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, false
	}
	state := ws.StateServerSide
	if w.fragments > 0 {
		state = state.Set(ws.StateFragmented)
	}
	if err != nil || ws.CheckHeader(h, state) != nil || h.Length < 0 {
		w.status = ws.StatusProtocolError
		c.end()
		return 0, false
	}
	n = len(b) - src.Len()
	if !h.OpCode.IsControl() {
		w.data(c, h)
		return n, !c.closed
	}
	size := int(h.Length)
	if n+size > len(b) {
		return 0, false
	}
	c.allowance-- // it is work as a frame is
	ws.Cipher(b[n:n+size], h.Mask, 0)
	w.control(c, h.OpCode, b[n:n+size])
	return n + size, !c.closed
}

// data begins a frame of a message.
func (w *websocket) data(c *conn, h ws.Header) {
	if h.OpCode != ws.OpContinuation {
		w.isText, w.text = h.OpCode == ws.OpText, text{}
		w.fragments, w.began = 0, c.part.loop.Now().UnixNano()
	}
	if w.fragments++; w.fragments > maxFragments {
		w.violated(c, message.Errorf(message.BadRequest, "a message may have %d fragments", maxFragments))
		return
	}
	if h.Fin {
		w.fragments = 0
	}
	w.mask, w.taken, w.missing, w.looked = h.Mask, 0, h.Length, 0
	if h.Length > 0 {
		return
	}
	c.allowance-- // nothing in it is a frame that would be counted
	if !w.isUTF8(nil) {
		w.status = ws.StatusInvalidFramePayloadData
		c.end()
	}
}

// partial reports whether a message has begun and is not complete.
func (w *websocket) partial() bool { return w.missing > 0 || w.fragments > 0 }

// violated ends the connection of a client that does not keep to what is agreed on.
func (w *websocket) violated(c *conn, err error) {
	w.status = ws.StatusPolicyViolation
	c.fail(err, nil)
}

func (w *websocket) control(c *conn, op ws.OpCode, payload []byte) {
	switch op {
	case ws.OpPing:
		c.queue(c.part.memory.Cut(func(dst []byte) []byte {
			return append(append(dst, 0x80|byte(ws.OpPong), byte(len(payload))), payload...)
		}))
	case ws.OpClose:
		if len(payload) > 0 {
			code, reason := ws.ParseCloseFrameDataUnsafe(payload)
			w.status = code
			if len(payload) == 1 || ws.CheckCloseFrameData(code, reason) != nil {
				w.status = ws.StatusProtocolError
			}
		}
		c.end()
	}
}

// farewell queues the close frame.
func (w *websocket) farewell(c *conn) {
	c.queue(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(w.status, ""))))
}

// appendText appends what build appends, as the payload of a text frame.
func appendText(dst []byte, build func([]byte) []byte) []byte {
	return appendHeader(dst, 0x80|byte(ws.OpText), build, 0)
}

// appendHeader appends a frame's header and the beginning of its payload, which
// build appends and which more bytes follow.
func appendHeader(dst []byte, first byte, build func([]byte) []byte, more int) []byte {
	start := len(dst)
	dst = build(append(dst, make([]byte, ws.MaxHeaderSize)...))
	payload := dst[start+ws.MaxHeaderSize:]
	n := len(payload) + more
	head := append(dst[:start], first)
	switch {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	return append(head, payload...) // within dst's room, and never beyond payload's place
}

package transport

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/reactor"
)

// A violation ends a connection: the close code of RFC 6455, section 7.4.1, and
// a reason that says what to do.
type violation struct {
	code   ws.StatusCode
	reason string
}

// large is from how many bytes on a message is read on, once it is begun, before others
// are: what is kept of many that come at once is then that of few. It is more than comes
// with one read, so who sends small ones without end is not read on.
const large = 16 << 10

// Data reads frames for as long as the exchange takes commands.
func (w *websocket) Data(_ *reactor.Conn, b []byte) (consumed int) {
	w.pinged = false
	for !w.exchange.closed && !w.exchange.waits() && !w.yields {
		n, wrong := w.read(b[consumed:])
		if wrong != nil {
			w.end(*wrong)
		}
		if n == 0 {
			break
		}
		consumed += n
	}
	switch {
	case w.exchange.closed:
		return len(b)
	case w.exchange.waits():
		w.conn.PauseRead()
	case w.yields:
		w.conn.PauseRead()
		w.markDirty()
	}
	return consumed
}

// read reads one frame, or what there is of a message's, and returns how many
// bytes that was: 0 if there is too little.
func (w *websocket) read(b []byte) (n int, wrong *violation) {
	if w.partial != nil && w.partial.missing > 0 {
		return w.more(b)
	}
	src := &w.part.header
	src.Reset(b)
	h, err := ws.ReadHeader(src)
	start := len(b) - src.Len()
	src.Reset(nil)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return 0, nil
	case err != nil:
		return 0, &violation{ws.StatusProtocolError, "malformed frame header"}
	}
	if wrong := w.check(h); wrong != nil {
		return 0, wrong
	}
	size := int(h.Length)
	if start+size <= len(b) {
		payload := b[start : start+size]
		ws.Cipher(payload, h.Mask, 0)
		return start + size, w.frame(h, payload)
	}
	if h.OpCode.IsControl() {
		return 0, nil
	}
	w.begin(h)
	n, wrong = w.more(b[start:])
	return start + n, wrong
}

// check judges a frame by its header, before anything of it is kept.
func (w *websocket) check(h ws.Header) *violation {
	state := ws.StateServerSide
	held := 0
	if w.partial != nil {
		state = state.Set(ws.StateFragmented)
		held = len(w.partial.data)
	}
	if w.deflates && h.Rsv1() && h.OpCode.IsData() && h.OpCode != ws.OpContinuation {
		h.Rsv = ws.Rsv(false, h.Rsv2(), h.Rsv3()) // the one place where it may be set (RFC 7692, section 6)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return &violation{ws.StatusProtocolError, err.Error()}
	}
	limit := w.part.server.maxText()
	switch {
	case h.OpCode == ws.OpBinary:
		return &violation{ws.StatusUnsupportedData, "orbit.v1 is text; send text messages"}
	case h.Length < 0 || h.Length > int64(limit-held):
		return tooBig(limit)
	case w.partial != nil && w.partial.fragments >= maxFragments:
		return &violation{ws.StatusPolicyViolation, fmt.Sprintf("a message may have %d fragments", maxFragments)}
	}
	return nil
}

// maxText is how long a message may be, compressed or not.
func (s *Server) maxText() int { return s.wire.MaxMessage + protocol.CommandOverhead }

func tooBig(limit int) *violation {
	return &violation{ws.StatusMessageTooBig, fmt.Sprintf("a message may have %d bytes (session.max_message and %d)", limit, protocol.CommandOverhead)}
}

// frame takes a frame that is all there, unmasked.
func (w *websocket) frame(h ws.Header, payload []byte) *violation {
	if h.OpCode.IsControl() && !w.exchange.admitControl() {
		return &violation{ws.StatusPolicyViolation, "too many control frames (session.command_rate)"}
	}
	switch h.OpCode {
	case ws.OpPing:
		w.send(w.part.memory.Cut(func(dst []byte) []byte { return appendControl(dst, finPong, payload) }))
		return nil
	case ws.OpPong:
		return nil
	case ws.OpClose:
		return w.peerCloses(payload)
	}
	if w.partial == nil && h.Fin {
		return w.message(payload, h.Rsv1())
	}
	w.begin(h)
	w.partial.missing = 0
	w.partial.data = append(w.partial.data, payload...)
	return w.complete()
}

// begin starts a frame of a message that is not all there.
func (w *websocket) begin(h ws.Header) {
	if w.partial == nil {
		w.partial = &partial{since: w.part.server.now(), deflated: h.Rsv1()}
	}
	p := w.partial
	p.mask, p.taken, p.missing, p.final = h.Mask, 0, int(h.Length), h.Fin
	p.fragments++
}

// more takes what has come of the current frame.
func (w *websocket) more(b []byte) (n int, wrong *violation) {
	p := w.partial
	n = min(p.missing, len(b))
	ws.Cipher(b[:n], p.mask, p.taken)
	p.data = append(p.data, b[:n]...)
	p.taken += n
	if p.missing -= n; p.missing > 0 {
		if len(p.data)+p.missing >= large {
			w.conn.ReadOn()
		}
		return n, nil
	}
	return n, w.complete()
}

// complete hands a message over if its last frame has come.
func (w *websocket) complete() *violation {
	p := w.partial
	if !p.final {
		return nil
	}
	w.partial = nil
	return w.message(p.data, p.deflated)
}

func (w *websocket) message(payload []byte, deflated bool) *violation {
	if deflated {
		return w.inflated(payload)
	}
	return w.text(payload)
}

func (w *websocket) text(payload []byte) *violation {
	if !utf8.Valid(payload) {
		return &violation{ws.StatusInvalidFramePayloadData, "text is not UTF-8"}
	}
	w.exchange.feed(payload)
	return nil
}

// peerCloses answers a close frame with the same code (RFC 6455, section 5.5.1).
func (w *websocket) peerCloses(payload []byte) *violation {
	answer := violation{code: ws.StatusNormalClosure}
	if len(payload) > 0 {
		code, reason := ws.ParseCloseFrameDataUnsafe(payload)
		if err := ws.CheckCloseFrameData(code, reason); err != nil || len(payload) == 1 {
			return &violation{ws.StatusProtocolError, "malformed close frame"}
		}
		answer.code = code
	}
	return &answer
}

package transport

import (
	"encoding/binary"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// textFrames is the hub.Format of WebSocket connections: each message is one
// text message of one frame.
type textFrames struct{}

// Append appends m as a WebSocket frame.
func (textFrames) Append(dst []byte, m *message.Message, redelivered bool) []byte {
	return appendText(dst, func(dst []byte) []byte { return protocol.AppendMessage(dst, m, redelivered) })
}

// appendText appends what build appends, as the payload of a text frame.
func appendText(dst []byte, build func([]byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, finText, 0, 0, 0) // the header of most frames
	dst = build(dst)
	return closeFrame(dst, start)
}

// The first bytes of unfragmented frames: the FIN bit and the opcode (RFC 6455,
// section 5.2).
const (
	finText  = 0x80 | byte(ws.OpText)
	finClose = 0x80 | byte(ws.OpClose)
	finPong  = 0x80 | byte(ws.OpPong)
)

// closeFrame writes the length into a header that was begun at start with room
// for four bytes, and moves the payload if the header has another size.
func closeFrame(dst []byte, start int) []byte {
	n := len(dst) - start - 4
	switch {
	case n < 126:
		dst[start+1] = byte(n)
		copy(dst[start+2:], dst[start+4:])
		return dst[:len(dst)-2]
	case n < 1<<16:
		dst[start+1] = 126
		binary.BigEndian.PutUint16(dst[start+2:], uint16(n))
		return dst
	}
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	copy(dst[start+10:], dst[start+4:start+4+n])
	dst[start+1] = 127
	binary.BigEndian.PutUint64(dst[start+2:], uint64(n))
	return dst
}

// appendControl appends a control frame. Its payload has at most 125 bytes.
func appendControl(dst []byte, first byte, payload []byte) []byte {
	dst = append(dst, first, byte(len(payload)))
	return append(dst, payload...)
}

// maxReason is what a close frame has room for beside its code.
const maxReason = ws.MaxControlFramePayloadSize - 2

func appendClose(dst []byte, code ws.StatusCode, reason string) []byte {
	reason = reason[:min(len(reason), maxReason)]
	return appendControl(dst, finClose, ws.NewCloseFrameBody(code, reason))
}

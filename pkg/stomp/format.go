package stomp

import (
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// A format is how messages are framed for all subscribers of one version: what
// follows the headers that are the subscriber's own. Over WebSocket, the first byte
// is that of a WebSocket frame; the rest of its header depends on the subscriber.
type format struct {
	version frame.Version
	socket  bool
	epoch   message.Epoch
}

var _ hub.Format = format{}

// Append appends the shared part of a MESSAGE. What comes again is told in the
// subscriber's own.
func (f format) Append(dst []byte, m *message.Message, _ bool) []byte {
	if f.socket {
		first := byte(0x80 | ws.OpBinary)
		if utf8.Valid(m.Data) {
			first = 0x80 | byte(ws.OpText)
		}
		dst = append(dst, first)
	}
	dst = frame.AppendHeader(dst, f.version, "destination", string(m.Channel))
	dst = append(dst, "message-id:"...)
	dst = appendID(dst, message.Position{Epoch: f.epoch, Offset: m.Offset})
	dst = append(dst, "\ntimestamp:"...)
	dst = appendNumber(dst, m.Time)
	dst = append(dst, '\n')
	if m.Publisher != "" {
		dst = frame.AppendHeader(dst, f.version, "user", m.Publisher)
	}
	contentType := m.ContentType
	if contentType == "" {
		contentType = "application/json"
	}
	dst = frame.AppendHeader(dst, f.version, "content-type", contentType)
	for _, h := range m.Headers {
		if !ours(h.Name) {
			dst = frame.AppendHeader(dst, f.version, h.Name, h.Value)
		}
	}
	return frame.AppendLength(dst, m.Data)
}

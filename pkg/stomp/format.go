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

// one sends one message: its shared part behind the headers that are s's own.
func (s *subscription) one(offset message.Offset, shared []byte, again bool) {
	c := s.conn
	c.part.count.message(len(shared), again)
	if s.prefix != nil && s.gap == nil && !again {
		c.queue(s.prefix, shared)
		return
	}
	build := func(dst []byte) []byte { return s.appendOwn(dst, offset, again) }
	if c.socket != nil {
		first, rest := shared[0], shared[1:]
		c.queue(c.part.memory.Cut(func(dst []byte) []byte { return appendHeader(dst, first, build, len(rest)) }), rest)
	} else {
		c.queue(c.part.memory.Cut(build), shared)
	}
	s.gap = nil
}

// appendOwn appends the beginning of a MESSAGE.
func (s *subscription) appendOwn(dst []byte, offset message.Offset, again bool) []byte {
	dst = append(dst, "MESSAGE\n"...)
	if s.id != "" {
		dst = frame.AppendHeader(dst, s.conn.version(), "subscription", s.id)
	}
	if s.mode != auto && s.conn.version() == frame.V12 {
		dst = append(dst, "ack:"...)
		dst = append(appendNumber(dst, int64(s.number)), '-')
		dst = append(appendNumber(dst, int64(offset)), '\n')
	}
	if again {
		dst = append(dst, "redelivered:true\n"...)
	}
	return append(dst, s.gap...)
}

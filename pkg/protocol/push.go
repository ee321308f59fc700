package protocol

import (
	"strconv"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// Codes of bye besides those that are errors too.
const (
	ByeRestart   message.Code = "restart"   // the server stops
	ByeDisplaced message.Code = "displaced" // a newer connection took the session
)

// All encoders append one object without a line feed at its end, and allocate
// nothing but what dst lacks.

// AppendMessage appends the push of m: the same bytes for every subscriber, but
// for those to whom it is redelivered.
func AppendMessage(dst []byte, m *message.Message, redelivered bool) []byte {
	dst = appendChannel(dst, m.Channel)
	dst = append(dst, `,"o":`...)
	dst = appendUint(dst, m.Offset)
	dst = append(dst, `,"p":`...)
	dst = appendUint(dst, m.Previous)
	dst = append(dst, `,"t":`...)
	dst = strconv.AppendInt(dst, m.Time, 10)
	dst = appendTextField(dst, `,"by":`, m.Publisher)
	if m.JSON() {
		dst = appendJSON(append(dst, `,"d":`...), m.Data)
	} else {
		dst = appendBinary(append(dst, ','), m.Data, m.ContentType)
	}
	dst = appendHeaders(dst, m.Headers)
	if redelivered {
		dst = append(dst, `,"r":true`...)
	}
	return append(dst, '}')
}

// appendChannel begins a push about a channel.
func appendChannel(dst []byte, ch channel.Name) []byte {
	return appendText(append(dst, `{"ch":`...), string(ch))
}

// AppendAt appends the end of a replay: the client has all up to offset.
func AppendAt(dst []byte, ch channel.Name, offset message.Offset) []byte {
	dst = append(appendChannel(dst, ch), `,"at":`...)
	return append(appendUint(dst, offset), '}')
}

// AppendGap appends a gap: nothing with after < offset <= to will ever come.
func AppendGap[R ~string](dst []byte, ch channel.Name, after, to message.Offset, reason R) []byte {
	dst = append(appendChannel(dst, ch), `,"gap":{"after":`...)
	dst = appendUint(dst, after)
	dst = append(dst, `,"to":`...)
	dst = appendUint(dst, to)
	dst = append(dst, `,"reason":`...)
	return append(appendText(dst, string(reason)), `}}`...)
}

// AppendRevoked appends the end of a subscription by a change of rights.
func AppendRevoked(dst []byte, ch channel.Name, e *message.Error) []byte {
	dst = append(appendChannel(dst, ch), `,"revoked":`...)
	return append(appendError(dst, e), '}')
}

// AppendBye appends a farewell. With retry, in whole milliseconds, the client
// comes back after that time; with zero it does not come back by itself.
func AppendBye(dst []byte, code message.Code, retry time.Duration) []byte {
	dst = appendText(append(dst, `{"bye":{"code":`...), string(code))
	if retry > 0 {
		dst = strconv.AppendInt(append(dst, `,"retry":`...), max(1, retry.Milliseconds()), 10)
	}
	return append(dst, `}}`...)
}

// AppendPing appends a ping.
func AppendPing(dst []byte) []byte { return append(dst, `{"op":"ping"}`...) }

// AppendPong appends the answer to a ping.
func AppendPong(dst []byte) []byte { return append(dst, `{"op":"pong"}`...) }

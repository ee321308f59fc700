package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// A Dialect is how a server is spoken to. Every message's payload begins with
// its number: see [appendPayload].
type Dialect interface {
	// Join appends a request head and what connects and subscribes behind it. With
	// a channel of "" it does not subscribe.
	Join(b []byte, channel string, from Start) []byte
	// Joined reports whether a server's message says that Join is done.
	Joined(m []byte) bool
	// Publish appends what publishes message n.
	Publish(b []byte, channel string, n uint64, size int) []byte
	// Accepted reports whether a message says that a publish is accepted.
	Accepted(m []byte) bool
	// Delivered returns the number of the message that was delivered.
	Delivered(m []byte) (n uint64, ok bool)
	// Reply appends the answer to any other message: a ping has one.
	Reply(b, m []byte) []byte
	// Ack appends what acknowledges a delivered message.
	Ack(b []byte, channel string, m []byte) []byte
}

// A Start is where a subscription begins: behind a position.
type Start struct {
	Offset uint64
	Epoch  string
}

// FromNow and FromOldest are no positions of an engine.
var (
	FromNow    = Start{}
	FromOldest = Start{Epoch: "oldest"}
)

const handshake = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// Digits is how long a message's number is: the smallest payload.
const Digits = 16

// appendPayload appends message n, filled up to size bytes.
func appendPayload(b []byte, n uint64, size int) []byte {
	b = fmt.Appendf(b, "%016x", n)
	for range size - Digits {
		b = append(b, '.')
	}
	return b
}

// number reads what appendPayload wrote.
func number(b []byte) (n uint64, ok bool) {
	if len(b) < Digits {
		return 0, false
	}
	for _, c := range b[:Digits] {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// Bare is the bare loop's dialect.
type Bare struct{}

// Join implements Dialect; nothing can be resumed.
func (Bare) Join(b []byte, channel string, _ Start) []byte {
	b = append(b, handshake...)
	if channel == "" {
		return b
	}
	return appendFrame(b, "S"+channel)
}

// Joined implements Dialect.
func (Bare) Joined(m []byte) bool { return string(m) == "s" }

// Publish implements Dialect.
func (Bare) Publish(b []byte, channel string, n uint64, size int) []byte {
	return appendFrame(b, "P"+channel+" "+string(appendPayload(nil, n, size)))
}

// Accepted implements Dialect.
func (Bare) Accepted(m []byte) bool { return string(m) == "a" }

// Delivered implements Dialect.
func (Bare) Delivered(m []byte) (uint64, bool) { return number(m) }

// Reply implements Dialect; there are no pings.
func (Bare) Reply(b, _ []byte) []byte { return b }

// Ack implements Dialect; there are no acknowledgements.
func (Bare) Ack(b []byte, _ string, _ []byte) []byte { return b }

// Orbit is orbit.v1.
type Orbit struct{}

// Join implements Dialect.
func (Orbit) Join(b []byte, channel string, from Start) []byte {
	b = append(b, handshake...)
	if channel == "" {
		return appendFrame(b, `{"id":1,"op":"connect"}`)
	}
	switch from {
	case FromNow:
		return appendFrame(b, `{"id":2,"op":"connect"}`+"\n"+`{"id":1,"op":"subscribe","channel":"`+channel+`"}`)
	case FromOldest:
		return appendFrame(b, `{"id":1,"op":"connect","last":{"`+channel+`":0}}`)
	}
	return appendFrame(b, fmt.Sprintf(`{"id":1,"op":"connect","epoch":%q,"last":{%q:%d}}`, from.Epoch, channel, from.Offset))
}

// Joined implements Dialect.
func (Orbit) Joined(m []byte) bool {
	return bytes.HasPrefix(m, []byte(`{"re":1,`)) && !bytes.Contains(m, []byte(`"error":`))
}

// Publish implements Dialect.
func (Orbit) Publish(b []byte, channel string, n uint64, size int) []byte {
	m := fmt.Appendf(make([]byte, 0, size+128), `{"id":%d,"op":"publish","channel":%q,"data":"`, n+2, channel)
	return appendFrame(b, string(append(appendPayload(m, n, size), `"}`...)))
}

// Accepted implements Dialect.
func (Orbit) Accepted(m []byte) bool {
	return bytes.HasPrefix(m, []byte(`{"re":`)) && bytes.Contains(m, []byte(`"offset":`))
}

// Delivered implements Dialect.
func (Orbit) Delivered(m []byte) (uint64, bool) {
	if !bytes.HasPrefix(m, []byte(`{"ch":`)) {
		return 0, false
	}
	_, payload, ok := bytes.Cut(m, []byte(`"d":"`))
	if !ok {
		return 0, false
	}
	return number(payload)
}

// Reply implements Dialect.
func (Orbit) Reply(b, m []byte) []byte {
	if string(m) == `{"op":"ping"}` {
		return appendFrame(b, `{"op":"pong"}`)
	}
	return b
}

// Ack implements Dialect.
func (Orbit) Ack(b []byte, channel string, m []byte) []byte {
	offset, _ := field(m, `"o":`)
	return appendFrame(b, `{"op":"ack","last":{"`+channel+`":`+strconv.FormatUint(offset, 10)+`}}`)
}

// field returns the number behind a name.
func field(m []byte, name string) (n uint64, ok bool) {
	_, rest, ok := bytes.Cut(m, []byte(name))
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n, ok
}

// positionOf returns the position that an answer to a subscribe names.
func positionOf(m []byte) (p Start) {
	p.Offset, _ = field(m, `"offset":`)
	if _, rest, ok := bytes.Cut(m, []byte(`"epoch":"`)); ok && len(rest) > 16 {
		p.Epoch = string(rest[:16])
	}
	return p
}

// appendFrame appends a text frame of a client (RFC 6455 section 5.2), masked
// with zeroes.
func appendFrame(b []byte, text string) []byte {
	b = append(b, 0x81)
	switch n := len(text); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

// nextFrame returns a server's first frame and its length; 0 if it is not
// complete.
func nextFrame(b []byte) (text []byte, length int) {
	if len(b) < 2 {
		return nil, 0
	}
	n, head := int(b[1]&127), 2
	switch {
	case n == 126 && len(b) >= 4:
		n, head = int(b[2])<<8|int(b[3]), 4
	case n == 127 && len(b) >= 10:
		n, head = int(b[6])<<24|int(b[7])<<16|int(b[8])<<8|int(b[9]), 10
	case n >= 126:
		return nil, 0
	}
	if len(b) < head+n {
		return nil, 0
	}
	return b[head : head+n], head + n
}

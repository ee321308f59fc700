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
	// Ack returns what acknowledges a delivered message; "" if nothing does.
	Ack(channel string, m []byte) string
	// Way is how clients connect. Publishers do by WebSocket, or by STOMP as well.
	Way() Way
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

// Digits is how long a message's number is: the smallest payload.
const Digits = 16

// filler is what messages are filled up with: no two parts of it are alike, and
// a byte of it is four bits, which is about what deflate makes of it.
var filler = func() []byte {
	b, x := make([]byte, 64<<10), uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = 'a' + byte(x>>16&15)
	}
	return b
}()

// appendPayload appends message n, filled up to size bytes.
func appendPayload(b []byte, n uint64, size int) []byte {
	b = fmt.Appendf(b, "%016x", n)
	return append(b, filler[:size-Digits]...)
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
	b = append(b, upgrade+"\r\n"...)
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
func (Bare) Ack(string, []byte) string { return "" }

// Way implements Dialect.
func (Bare) Way() Way { return WebSocket }

// Orbit is orbit.v1, over a transport.
type Orbit struct{ Over Way }

// Way implements Dialect.
func (o Orbit) Way() Way { return o.Over }

// Join implements Dialect.
func (o Orbit) Join(b []byte, channel string, from Start) []byte {
	if channel == "" {
		return WebSocket.open(b, "", `{"id":1,"op":"connect"}`)
	}
	var commands string
	switch from {
	case FromNow:
		commands = `{"id":2,"op":"connect"}` + "\n" + `{"id":1,"op":"subscribe","channel":"` + channel + `"}`
	case FromOldest:
		commands = `{"id":1,"op":"connect","last":{"` + channel + `":0}}`
	default:
		commands = fmt.Sprintf(`{"id":1,"op":"connect","epoch":%q,"last":{%q:%d}}`, from.Epoch, channel, from.Offset)
	}
	return o.Over.open(b, channel, commands)
}

// Joined implements Dialect.
func (o Orbit) Joined(m []byte) bool {
	begins := `{"re":1,`
	if o.Over == EventSource {
		begins = `{"session":`
	}
	return bytes.HasPrefix(m, []byte(begins)) && !bytes.Contains(m, []byte(`"error":`))
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
func (o Orbit) Reply(b, m []byte) []byte {
	if string(m) == `{"op":"ping"}` && o.Over.isSocket() {
		return appendFrame(b, `{"op":"pong"}`)
	}
	return b
}

// Ack implements Dialect. An EventSource acknowledges nothing, and a poll by its
// next one.
func (o Orbit) Ack(channel string, m []byte) string {
	if o.Over == EventSource || o.Over == Poll {
		return ""
	}
	offset, _ := field(m, `"o":`)
	return `{"op":"ack","last":{"` + channel + `":` + strconv.FormatUint(offset, 10) + `}}`
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
	p.Epoch = text(m, `"epoch":"`)
	return p
}

// text returns the text behind a name and a quote; "" if there is none.
func text(m []byte, name string) string {
	_, rest, ok := bytes.Cut(m, []byte(name))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
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

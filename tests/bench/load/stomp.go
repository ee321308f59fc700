package load

import (
	"bytes"
	"fmt"
)

// Stomp is STOMP 1.2, over TCP or a WebSocket.
type Stomp struct {
	Over  Way
	Login string // headers of CONNECT, each with its line's end
}

// Way implements Dialect.
func (s Stomp) Way() Way { return s.Over }

// Join implements Dialect. Of a start that is a position, only the oldest is known.
func (s Stomp) Join(b []byte, channel string, from Start) []byte {
	said := "CONNECT\naccept-version:1.2\nhost:localhost\n" + s.Login + "\n\x00"
	if channel == "" { // a login takes a while; a transaction tells when it is over
		said += "BEGIN\ntransaction:0\nreceipt:joined\n\n\x00ABORT\ntransaction:0\n\n\x00"
	} else {
		mode, after := "auto", ""
		if s.Over == StompAcked {
			mode = "client"
		}
		if from == FromOldest {
			after = "after:0\n"
		}
		said += fmt.Sprintf("SUBSCRIBE\nid:0\ndestination:%s\nack:%s\n%sreceipt:joined\n\n\x00", channel, mode, after)
	}
	if s.Over == StompSocket {
		b = append(b, upgrade+"Sec-WebSocket-Protocol: v12.stomp\r\n\r\n"...)
	}
	return s.Over.say(b, said)
}

// Joined implements Dialect.
func (Stomp) Joined(m []byte) bool { return bytes.HasPrefix(m, []byte("RECEIPT\nreceipt-id:joined\n")) }

// Publish implements Dialect.
func (s Stomp) Publish(b []byte, channel string, n uint64, size int) []byte {
	m := fmt.Appendf(make([]byte, 0, size+128), "SEND\ndestination:%s\ncontent-type:application/json\ncontent-length:%d\nreceipt:%d\n\n\"", channel, size+2, n)
	return s.Over.say(b, string(append(appendPayload(m, n, size), '"', 0)))
}

// Accepted implements Dialect.
func (Stomp) Accepted(m []byte) bool { return bytes.HasPrefix(m, []byte("RECEIPT\n")) }

// Delivered implements Dialect.
func (Stomp) Delivered(m []byte) (uint64, bool) {
	if !bytes.HasPrefix(m, []byte("MESSAGE\n")) {
		return 0, false
	}
	_, payload, ok := bytes.Cut(m, []byte("\n\n\""))
	if !ok {
		return 0, false
	}
	return number(payload)
}

// Reply implements Dialect; nobody asks for heart-beats.
func (Stomp) Reply(b, _ []byte) []byte { return b }

// Ack implements Dialect: of all up to this one.
func (s Stomp) Ack(_ string, m []byte) string {
	if s.Over != StompAcked {
		return ""
	}
	_, id, _ := bytes.Cut(m, []byte("\nack:"))
	id, _, _ = bytes.Cut(id, []byte("\n"))
	return "ACK\nid:" + string(id) + "\n\n\x00"
}

// nextStomp returns a server's first frame without its NUL, and how long it was; 0 if
// it is not complete. No body here has a NUL.
func nextStomp(b []byte) (frame []byte, length int) {
	i := bytes.IndexByte(b, 0)
	return bytes.TrimLeft(b[:max(i, 0)], "\n"), i + 1
}

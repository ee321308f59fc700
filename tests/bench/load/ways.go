package load

import (
	"bytes"
	"compress/flate"
	"io"
	"strconv"
)

// A Way is a transport of orbit.v1, or of STOMP.
type Way int

// The ways. SSE is POST /v1/sse, as our library uses it; EventSource is GET, as a
// browser does without it. The last three are STOMP's.
const (
	WebSocket Way = iota
	Deflate       // a WebSocket with permessage-deflate
	Stream
	SSE
	EventSource
	Poll
	StompTCP    // without acknowledgements
	StompAcked  // over TCP, with them
	StompSocket // over a WebSocket, without
)

// String returns the name of a way.
func (w Way) String() string {
	return [...]string{"websocket", "websocket with deflate", "stream", "sse", "EventSource", "poll", "STOMP", "STOMP with acks", "STOMP over WebSocket"}[w]
}

// isSocket reports whether commands go up on the connection itself.
func (w Way) isSocket() bool { return w <= Deflate || w.IsStomp() }

// IsStomp reports whether a way is one of STOMP's.
func (w Way) IsStomp() bool { return w >= StompTCP }

// isRaw reports whether there is nothing around what is said.
func (w Way) isRaw() bool { return w == StompTCP || w == StompAcked }

// Door is the name of the listener for it; an s behind it is that with TLS.
func (w Way) Door() string {
	if w.isRaw() {
		return "stomp"
	}
	return "http"
}

// Dialect returns what orbitd is spoken to in.
func (w Way) Dialect() Dialect {
	if w.IsStomp() {
		return Stomp{Over: w}
	}
	return Orbit{w}
}

// say appends what a client says on a connection that is there.
func (w Way) say(b []byte, text string) []byte {
	if w.isRaw() {
		return append(b, text...)
	}
	return appendFrame(b, text)
}

const (
	upgrade = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
)

// open appends the request that begins a connection, with the first commands.
func (w Way) open(b []byte, channel, commands string) []byte {
	switch w {
	case WebSocket:
		return appendFrame(append(b, upgrade+"\r\n"...), commands)
	case Deflate:
		return appendFrame(append(b, upgrade+offer+"\r\n"...), commands)
	case Stream:
		return appendPost(b, "/v1/stream", "", []byte(commands))
	case SSE:
		return appendPost(b, "/v1/sse", "", []byte(commands))
	case EventSource:
		return append(b, "GET /v1/sse?channel="+channel+" HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"...)
	}
	return appendPost(b, "/v1/poll?wait=0", "", []byte(commands)) // what it begins with is known at once
}

// appendPost appends a request; fields are further lines of its head.
func appendPost(b []byte, target, fields string, body []byte) []byte {
	b = append(b, "POST "+target+" HTTP/1.1\r\nHost: localhost\r\n"+fields+"Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

// A reader takes the objects out of what a connection has received. All clients of
// a fleet share one: it keeps nothing of any of them.
type reader struct {
	way      Way
	inflater inflater
}

// next returns one or more objects, one a line, or one frame of STOMP, and how long
// that was; 0 if there is none that is complete.
func (r *reader) next(b []byte) (text []byte, length int) {
	switch r.way {
	case StompTCP, StompAcked:
		return nextStomp(b)
	case StompSocket:
		text, length = nextFrame(b)
		text, _ = nextStomp(text) // there is one in each
		return text, length
	case WebSocket, Deflate:
		text, length = nextFrame(b)
		if length > 0 && b[0]&0x40 != 0 {
			text = r.inflater.inflate(text)
		}
		return text, length
	case SSE, EventSource:
		line, _, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return nil, 0
		}
		data, isData := bytes.CutPrefix(line, []byte("data: "))
		if !isData {
			data = nil // the other fields say nothing new
		}
		return data, len(line) + 1
	}
	length = bytes.LastIndexByte(b, '\n') + 1
	return b[:length], length
}

// An inflater decompresses messages (RFC 7692). What it was given last, it knows:
// a fan-out is the same bytes for everybody, and to inflate them for each would
// measure the generator.
type inflater struct {
	r        io.ReadCloser
	last, is []byte // compressed, and what that is
}

// inflate returns a message, good until the next call; nil if it is none.
func (f *inflater) inflate(b []byte) []byte {
	if bytes.Equal(b, f.last) {
		return f.is
	}
	f.last = append(f.last[:0], b...)
	in := io.MultiReader(bytes.NewReader(f.last), bytes.NewReader([]byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if f.r == nil {
		f.r = flate.NewReader(in)
	} else {
		_ = f.r.(flate.Resetter).Reset(in, nil) // fails for no input
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(f.r); err != nil {
		out.Reset()
	}
	f.is = out.Bytes()
	return f.is
}

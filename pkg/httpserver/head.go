package httpserver

import (
	"bytes"
	"errors"
	"strconv"
)

// A head is what matters here of a request's head.
type head struct {
	method, target []byte
	body           int64 // its length, by Content-Length
	chunked        bool  // there is a Transfer-Encoding, which decides on the length
	expects        bool  // the body comes only after an answer (RFC 9110, section 10.1.1)
	websocket      bool  // the last Upgrade is to that, and nothing else
	upgrades       int   // lines
	connections    int   // lines
}

// Why a head is refused. net/http takes most of these for valid, or is silent on
// which of two readings it chose, and so would end a request elsewhere than a
// proxy in front of it may: the rest of one client's request is then another's
// (request smuggling; RFC 9112, section 11.2).
var (
	errLine      = errors.New("a line of the request's head does not end in CR LF, or has a CR or NUL inside")
	errRequest   = errors.New("the request line is not METHOD TARGET HTTP/1.1, or HTTP/1.0")
	errField     = errors.New("a header is not NAME: VALUE on one line, with nothing between name and colon")
	errLength    = errors.New("Content-Length is not one decimal number")
	errTwoWays   = errors.New("the body's length is given in two ways")
	errOldChunks = errors.New("HTTP/1.0 has no Transfer-Encoding")
	errHosts     = errors.New("there is more than one Host")
)

// headEnd returns the length of the request head that b begins with, up to and
// with the empty line that ends it; 0 if it is not all there. It ends where
// net/http sees its end, so a line that ends in LF alone counts, too.
func headEnd(b []byte) int {
	start := len(b) - len(bytes.TrimLeft(b, "\r\n")) // empty lines before it are no end
	end := 0
	for _, empty := range []string{"\n\n", "\n\r\n"} {
		if i := bytes.Index(b[start:], []byte(empty)); i >= 0 && (end == 0 || start+i+len(empty) < end) {
			end = start + i + len(empty)
		}
	}
	return end
}

// parseHead reads a whole head, and refuses one that could be read in two ways.
// All else that can be wrong with it is left to who serves the request.
func parseHead(b []byte) (h head, err error) {
	for len(b) > 2 && string(b[:2]) == "\r\n" {
		b = b[2:] // RFC 9112, section 2.2
	}
	hosts, lengths, encodings := 0, 0, 0
	old := false
	for n := 0; len(b) > 0; n++ {
		end := bytes.IndexByte(b, '\n') + 1
		line, ok := bytes.CutSuffix(b[:end], []byte("\r\n"))
		if !ok || bytes.ContainsAny(line, "\r\x00") {
			return h, errLine
		}
		b = b[end:]
		if n == 0 {
			if old, ok = h.requestLine(line); !ok {
				return h, errRequest
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) {
			return h, errField
		}
		value = bytes.Trim(value, " \t")
		switch {
		case is(name, "Host"):
			hosts++
		case is(name, "Content-Length"):
			lengths++
			if h.body, ok = number(value); !ok {
				return h, errLength
			}
		case is(name, "Transfer-Encoding"):
			encodings++
		case is(name, "Expect"):
			h.expects = true
		case is(name, "Upgrade"):
			h.upgrades++
			h.websocket = is(value, "websocket")
		case is(name, "Connection"):
			h.connections++
		}
	}
	h.chunked = encodings > 0
	switch {
	case lengths+encodings > 1:
		err = errTwoWays
	case h.chunked && old:
		err = errOldChunks
	case hosts > 1:
		err = errHosts
	}
	return h, err
}

// requestLine reads the first line; old is that of HTTP/1.0.
func (h *head) requestLine(line []byte) (old, ok bool) {
	var version []byte
	h.method, line, _ = bytes.Cut(line, []byte(" "))
	h.target, version, _ = bytes.Cut(line, []byte(" "))
	old = string(version) == "HTTP/1.0"
	return old, (old || string(version) == "HTTP/1.1") && isToken(h.method) && len(h.target) > 0
}

// isUpgrade reports whether the request can be answered by who upgrades: a plain
// handshake on path. What is not certain goes to net/http.
func (h *head) isUpgrade(path string) bool {
	target, _, _ := bytes.Cut(h.target, []byte("?"))
	return string(h.method) == "GET" && string(target) == path && h.websocket && h.upgrades == 1 && h.connections == 1 &&
		h.body == 0 && !h.chunked
}

func is(b []byte, name string) bool { return bytes.EqualFold(b, []byte(name)) }

// number reads digits, and nothing else: no sign, no list.
func number(b []byte) (n int64, ok bool) {
	u, err := strconv.ParseUint(string(b), 10, 63)
	return int64(u), err == nil
}

// isToken reports whether b is a name by RFC 9110, section 5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0:
			return false
		}
	}
	return len(b) > 0
}

package protocol

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/orbitd/orbitd/pkg/message"
)

// appendText appends s as a JSON string: valid UTF-8 without line ends of any
// kind, whatever s is.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || size > 1) && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, s[i:i+size])
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendEscape appends what must not stand in a string as it is: one character
// or one stray byte.
func appendEscape(dst []byte, s string) []byte {
	switch c := s[0]; {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, `\n`...)
	case c < ' ':
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	case len(s) == 3:
		return append(dst, separatorEscape(s[2])...)
	}
	return append(dst, `\ufffd`...)
}

// appendTextField appends a member behind others, unless it is empty.
func appendTextField(dst []byte, prefix, s string) []byte {
	if s == "" {
		return dst
	}
	return appendText(append(dst, prefix...), s)
}

func appendUint[T ~uint64](dst []byte, n T) []byte {
	return strconv.AppendUint(dst, uint64(n), 10)
}

// appendEpoch appends e as a JSON string.
func appendEpoch(dst []byte, e message.Epoch) []byte {
	dst = append(dst, '"')
	if e != 0 {
		dst = e.AppendText(dst)
	}
	return append(dst, '"')
}

// appendJSON appends a stored payload. Should one contain line ends, against
// the contract, they go: it must not break the line.
func appendJSON(dst, data []byte) []byte {
	switch {
	case len(data) == 0:
		return append(dst, "null"...)
	case bytes.IndexByte(data, '\n') >= 0 || bytes.IndexByte(data, '\r') >= 0:
		return appendCompact(dst, data)
	}
	return append(dst, data...)
}

// appendBinary appends the members b and ct.
func appendBinary(dst, data []byte, contentType string) []byte {
	dst = append(dst, `"b":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, data)
	dst = append(dst, `","ct":`...)
	return appendText(dst, contentType)
}

func appendHeaders(dst []byte, headers []message.Header) []byte {
	if len(headers) == 0 {
		return dst
	}
	dst = append(dst, `,"h":{`...)
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, h.Name), ':')
		dst = appendText(dst, h.Value)
	}
	return append(dst, '}')
}

// appendError appends the object that an error is on the wire.
func appendError(dst []byte, e *message.Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendText(dst, string(e.Code))
	dst = append(dst, `,"message":`...)
	dst = appendText(dst, e.Text)
	return append(dst, '}')
}

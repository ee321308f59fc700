package protocol

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/orbitd/orbitd/pkg/message"
)

// MaxInteger is the largest integer on the wire: what an IEEE 754 double, hence
// a JavaScript number, holds exactly.
const MaxInteger = 1<<53 - 1

// Payload checks that raw is one JSON value and returns a copy of it without
// white space and line ends: the form in which JSON payloads are stored. It
// never breaks a format that has one object a line. Escapes inside strings stay
// as the publisher wrote them.
func Payload(raw []byte) ([]byte, *message.Error) {
	if err := scanValue(raw, MaxDepth); err != nil {
		return nil, err
	}
	return appendCompact(make([]byte, 0, len(raw)), raw), nil
}

// appendCompact appends valid JSON without its white space. The line and
// paragraph separators, which some readers take for line ends, are escaped.
func appendCompact(dst, raw []byte) []byte {
	inText := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case inText && c == '\\' && i+1 < len(raw):
			dst = append(dst, c)
			i++
			c = raw[i]
		case c == '"':
			inText = !inText
		case !inText && isSpace(c):
			continue
		case c == 0xE2 && isSeparator(raw[i:]):
			dst = append(dst, separatorEscape(raw[i+2])...)
			i += 2
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// isSeparator reports whether b begins with U+2028 or U+2029.
func isSeparator(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xE2 && b[1] == 0x80 && b[2]|1 == 0xA9
}

func separatorEscape(last byte) string {
	if last == 0xA8 {
		return `\u2028`
	}
	return `\u2029`
}

// decodeText returns the text of a raw JSON string. It refuses surrogates that
// do not pair up: they have no UTF-8, and two texts that differ must not become
// the same key.
func decodeText(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw), true
	}
	plain, ok := unescape(raw)
	return string(plain), ok
}

// isText reports whether a raw JSON value is the string s, without allocating.
func isText(raw []byte, s string) bool {
	if len(raw) < 2 || raw[0] != '"' {
		return false
	}
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside) == s
	}
	plain, ok := unescape(inside)
	return ok && string(plain) == s
}

// unescape decodes the inside of a JSON string that the scanner has passed.
func unescape(raw []byte) ([]byte, bool) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		if raw[i] != 'u' {
			out = append(out, plainEscape(raw[i]))
			continue
		}
		r, size, ok := unicodeEscape(raw[i-1:])
		if !ok {
			return nil, false
		}
		out = utf8.AppendRune(out, r)
		i += size - 2
	}
	return out, true
}

func plainEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// unicodeEscape decodes one \uXXXX, or two that are a surrogate pair.
func unicodeEscape(b []byte) (r rune, size int, ok bool) {
	first, _ := hex4(b[2:])
	if !utf16.IsSurrogate(first) {
		return first, 6, true
	}
	if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return 0, 0, false
	}
	second, _ := hex4(b[8:])
	r = utf16.DecodeRune(first, second)
	return r, 12, r != utf8.RuneError
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// decodeInteger returns an integer from 0 to MaxInteger. Fractions and
// exponents are refused, also where their value is an integer.
func decodeInteger(raw []byte) (uint64, bool) {
	if len(raw) == 0 || len(raw) > 16 {
		return 0, false
	}
	var n uint64
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= MaxInteger
}

// decodeBase64 returns the bytes of a raw JSON string in base64 (RFC 4648
// section 4). Go's decoder skips line ends; they are refused here.
func decodeBase64(raw []byte) ([]byte, bool) {
	text, ok := decodeText(raw)
	if !ok || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	return data, err == nil
}

func decodeBool(raw []byte) (value, ok bool) {
	switch string(raw) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

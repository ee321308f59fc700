package protocol

import (
	"bytes"
	"unicode/utf8"

	"github.com/orbitd/orbitd/pkg/message"
)

// MaxDepth bounds how deep arrays and objects of a payload may be nested, so
// that neither this scanner nor a receiver's parser runs out of stack.
const MaxDepth = 128

// A scanner checks JSON (RFC 8259) and cuts it into raw values. It decodes
// nothing: what a command does not need is looked at once and left alone.
type scanner struct {
	b     []byte
	i     int // the next byte; after a failure, where it was
	depth int // levels that may still be opened
	deep  bool
}

// scanObject checks that line is one JSON object in UTF-8 and hands over its
// members in their order: the key decoded, the value raw. Both alias line.
func scanObject(line []byte, depth int, member func(key, value []byte)) *message.Error {
	if !utf8.Valid(line) {
		return message.Errorf(message.BadRequest, "this is not UTF-8")
	}
	s := scanner{b: line, depth: depth}
	s.space()
	if s.i == len(line) || line[s.i] != '{' {
		return message.Errorf(message.BadRequest, "this is not a JSON object")
	}
	if !s.object(member) {
		return s.error()
	}
	return s.end()
}

// scanValue checks that b is one JSON value in UTF-8.
func scanValue(b []byte, depth int) *message.Error {
	if !utf8.Valid(b) {
		return message.Errorf(message.BadRequest, "this is not UTF-8")
	}
	s := scanner{b: b, depth: depth}
	if _, ok := s.value(); !ok {
		return s.error()
	}
	return s.end()
}

func (s *scanner) end() *message.Error {
	if s.space(); s.i < len(s.b) {
		return message.Errorf(message.BadRequest, "something follows the JSON value at byte %d", s.i)
	}
	return nil
}

func (s *scanner) error() *message.Error {
	if s.deep {
		return message.Errorf(message.BadRequest, "nested deeper than %d levels", MaxDepth)
	}
	return message.Errorf(message.BadRequest, "this is not valid JSON: see byte %d", s.i)
}

func (s *scanner) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// take skips white space and then c, if it is there.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// value skips one value and returns its bytes.
func (s *scanner) value() (raw []byte, ok bool) {
	s.space()
	start := s.i
	if start == len(s.b) {
		return nil, false
	}
	switch c := s.b[start]; c {
	case '{':
		ok = s.object(nil)
	case '[':
		ok = s.array(nil)
	case '"':
		ok = s.text()
	case 't':
		ok = s.literal("true")
	case 'f':
		ok = s.literal("false")
	case 'n':
		ok = s.literal("null")
	default:
		ok = s.number()
	}
	return s.b[start:s.i], ok
}

// open counts a level; who opened it gives it back.
func (s *scanner) open() bool {
	s.depth--
	s.deep = s.depth < 0
	return !s.deep
}

// object skips an object; member is called for each of its members.
func (s *scanner) object(member func(key, value []byte)) bool {
	if !s.take('{') || !s.open() {
		return false
	}
	defer func() { s.depth++ }()
	if s.take('}') {
		return true
	}
	for {
		s.space()
		start := s.i
		if !s.text() {
			return false
		}
		key := s.b[start+1 : s.i-1]
		if !s.take(':') {
			return false
		}
		value, ok := s.value()
		if !ok {
			return false
		}
		if member != nil {
			member(plainKey(key), value)
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// plainKey decodes a key that was written with escapes.
func plainKey(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	if plain, ok := unescape(key); ok {
		return plain
	}
	return key
}

// array skips an array; element is called for each of its elements.
func (s *scanner) array(element func(value []byte)) bool {
	if !s.take('[') || !s.open() {
		return false
	}
	defer func() { s.depth++ }()
	if s.take(']') {
		return true
	}
	for {
		value, ok := s.value()
		if !ok {
			return false
		}
		if element != nil {
			element(value)
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}

// text skips a string. Escapes are checked for form; whether surrogates pair
// up is a question for those who decode it.
func (s *scanner) text() bool {
	if s.i == len(s.b) || s.b[s.i] != '"' {
		return false
	}
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if !s.escape() {
				return false
			}
		}
	}
	return false
}

// escape steps from a backslash to the last byte of its escape.
func (s *scanner) escape() bool {
	s.i++
	if s.i == len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		_, ok := hex4(s.b[s.i+1:])
		if ok {
			s.i += 4
		}
		return ok
	}
	return false
}

func (s *scanner) literal(word string) bool {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return false
	}
	s.i += len(word)
	return true
}

func (s *scanner) number() bool {
	s.skip('-')
	if !s.skip('0') && !s.digits() {
		return false
	}
	if s.skip('.') && !s.digits() {
		return false
	}
	if s.skip('e') || s.skip('E') {
		if !s.skip('+') {
			s.skip('-')
		}
		return s.digits()
	}
	return true
}

// skip steps over c, if it is the next byte.
func (s *scanner) skip(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

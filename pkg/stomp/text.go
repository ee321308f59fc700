package stomp

import "unicode/utf8"

// A text is the part of a WebSocket's text message that has come so far: whether it is
// UTF-8 (RFC 6455, section 8.1), of which a stretch may end within a character.
type text struct {
	missing   uint8 // bytes of the last character
	low, high byte  // between which the next of them is
}

// take looks at the next bytes, and reports whether they may stand there.
func (t *text) take(b []byte) bool {
	if t.missing == 0 && utf8.Valid(b) {
		return true
	}
	for _, c := range b {
		if t.missing > 0 {
			if c < t.low || c > t.high {
				return false
			}
			t.missing--
			t.low, t.high = 0x80, 0xbf
		} else if !t.begin(c) {
			return false
		}
	}
	return true
}

// begin takes the first byte of a character: RFC 3629, section 4.
func (t *text) begin(c byte) bool {
	t.low, t.high = 0x80, 0xbf
	switch {
	case c < utf8.RuneSelf:
	case 0xc2 <= c && c <= 0xdf:
		t.missing = 1
	case 0xe0 <= c && c <= 0xef:
		t.missing = 2
	case 0xf0 <= c && c <= 0xf4:
		t.missing = 3
	default:
		return false
	}
	switch c {
	case 0xe0:
		t.low = 0xa0 // else it is longer than it need be
	case 0xed:
		t.high = 0x9f // else it is half of a pair
	case 0xf0:
		t.low = 0x90
	case 0xf4:
		t.high = 0x8f // else it is beyond Unicode
	}
	return true
}

// whole reports whether no character has been begun and not ended.
func (t *text) whole() bool { return t.missing == 0 }

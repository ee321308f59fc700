package stomp

import (
	"testing"
	"unicode/utf8"
)

// FuzzText: cut anywhere, a text is judged as it is as a whole.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "é", "€", "𝄞", "\xc3", "\xc0\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5", "\x80", "a\xffb", "aé€𝄞"} {
		f.Add([]byte(s), uint8(1), uint8(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, i, j uint8) {
		first := min(int(i), len(b))
		second := min(first+int(j), len(b))
		var x text
		valid := true
		for _, part := range [][]byte{b[:first], b[first:second], b[second:]} {
			valid = valid && x.take(part)
		}
		if valid = valid && x.whole(); valid != utf8.Valid(b) {
			t.Errorf("%q, cut at %d and %d: %v", b, first, second, valid)
		}
	})
}

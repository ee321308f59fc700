package stomp

import (
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
)

// A lives is a window through several lives, and what is known of each message of
// the log.
type lives struct {
	window
	rng     *rand.Rand
	log     []message.Offset // with holes
	sent    message.Position
	top     message.Offset // that was ever sent
	acked   map[message.Offset]bool
	refused map[message.Offset]int
}

// step sends the next message, acknowledges something, or refuses it.
func (l *lives) step(t *testing.T) {
	n := len(l.open)
	if n == 0 || n < 20 && l.rng.IntN(3) == 0 {
		at, _ := slices.BinarySearch(l.log, l.sent.Offset+1)
		l.sent.Offset = l.log[at]
		switch early := l.wasEarly(l.sent.Offset); {
		case early != l.acked[l.sent.Offset]:
			t.Fatalf("%d was acknowledged: %v, is passed over: %v", l.sent.Offset, !early, early)
		case !early:
			l.add(delivery{offset: l.sent.Offset, before: l.sent.Offset - 1})
		}
		l.top = max(l.top, l.sent.Offset)
		return
	}
	offset := l.open[l.rng.IntN(n)].offset
	if l.rng.IntN(4) == 0 && l.at(offset) != nil {
		l.refused[offset] = l.refuse(offset)
		return
	}
	for d := range l.affected(offset, l.rng.IntN(4) > 0) {
		l.settle(d)
		l.acked[d.offset] = true
		delete(l.refused, d.offset)
	}
	l.advance()
}

// end ends a life, and begins the next with what is stored.
func (l *lives) end(t *testing.T) {
	cursor, options := l.cursor(l.sent, nil), l.appendOptions(nil, l.top, true, nil)
	l.window, l.sent = window{early: cursor.Above}, cursor.Position
	past, known := l.readOptions(options)
	if past != l.top || !known || !maps.Equal(l.window.refused, l.refused) {
		t.Fatalf("%d, %v and %v were read; want %d and %v", past, known, l.window.refused, l.top, l.refused)
	}
	for _, offset := range l.log {
		if offset <= l.sent.Offset && !l.acked[offset] {
			t.Fatalf("%d is not acknowledged, and the cursor at %d", offset, l.sent.Offset)
		}
	}
}

// Whatever is acknowledged in whatever order, and wherever a life ends: the next gets
// all that was not acknowledged, in order, and nothing else; and knows how often each
// was refused.
func TestWindowOverLives(t *testing.T) {
	for seed := range uint64(200) {
		l := &lives{rng: rand.New(rand.NewPCG(seed, 0)), sent: message.Position{Epoch: 7}, acked: map[message.Offset]bool{}, refused: map[message.Offset]int{}}
		for o := message.Offset(1); len(l.log) < 2000; o += message.Offset(1 + l.rng.IntN(2)) {
			l.log = append(l.log, o)
		}
		for range 20 {
			for range l.rng.IntN(60) {
				l.step(t)
			}
			l.end(t)
		}
	}
}

// What is stored is read by later versions: it stays as it is.
func TestStoredVector(t *testing.T) {
	w := window{refused: map[message.Offset]int{300: 2, 305: 1, 310: 9}}
	const want = "01ad0202ac02020501"
	if got := hex.EncodeToString(w.appendOptions(nil, 300, true, offsets{310: true})); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if got := hex.EncodeToString((&window{}).appendOptions(nil, 0, false, nil)); got != "010000" {
		t.Errorf("%s", got)
	}
	b, _ := hex.DecodeString(want)
	var r window
	if sent, known := r.readOptions(b); sent != 300 || !known || len(r.refused) != 2 || r.refused[300] != 2 || r.refused[305] != 1 {
		t.Errorf("%d %v %v", sent, known, r.refused)
	}
	for n := range len(b) {
		r := window{}
		if sent, known := r.readOptions(b[:n]); known || sent != 0 || len(r.refused) > 0 {
			t.Errorf("%d bytes: %d %v %v", n, sent, known, r.refused)
		}
	}
	if _, known := r.readOptions(append([]byte{2}, b[1:]...)); known {
		t.Error("another version is read")
	}
}

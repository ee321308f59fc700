package session

import (
	"math/rand/v2"
	"testing"

	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// The window agrees with a plain list of what is unacknowledged, however runs
// and acks fall.
func TestWindowCountsExactly(t *testing.T) {
	type sent struct {
		offset message.Offset
		bytes  int
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var w window
		var plain []sent
		var index []hub.End
		offset, at := message.Offset(0), 0
		for range 300 {
			switch random.IntN(4) {
			case 0, 1: // messages arrive and are sent in one run
				start, from := at, len(index)
				for range 1 + random.IntN(5) {
					offset += message.Offset(1 + random.IntN(3))
					size := 1 + random.IntN(100)
					at += size
					index = append(index, hub.End{Offset: offset, At: at})
					plain = append(plain, sent{offset, size})
				}
				w.sent(hub.Run{Ends: index[from:], Start: start})
			case 2: // the index is replaced, as when a ring sheds
				index, at = nil, random.IntN(50)
			case 3: // an ack of anything, also of what is not a message
				upTo := message.Offset(random.IntN(int(offset) + 2))
				bytes := 0
				for len(plain) > 0 && plain[0].offset <= upTo {
					bytes += plain[0].bytes
					plain = plain[1:]
				}
				if got := w.ack(upTo); got != bytes {
					t.Fatalf("ack of %d freed %d bytes, want %d", upTo, got, bytes)
				}
			}
			if w.count() != len(plain) {
				t.Fatalf("the window counts %d, want %d", w.count(), len(plain))
			}
		}
		if len(plain) == 0 && w.first.ends != nil {
			t.Fatal("an empty window keeps an index")
		}
	}
}

// Runs that follow each other in one index take one stretch.
func TestWindowJoinsRuns(t *testing.T) {
	index := make([]hub.End, 0, 100)
	var w window
	for i := range 100 {
		index = append(index, hub.End{Offset: message.Offset(i + 1), At: 10 * (i + 1)})
		w.sent(hub.Run{Ends: index[i:], Start: 10 * i})
	}
	if w.rest != nil || w.count() != 100 {
		t.Fatalf("%d messages, of 100, in more than one stretch: %v", w.count(), w.rest != nil)
	}
}

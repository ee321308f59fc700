package stomp

import (
	"encoding/binary"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// storedVersion is the first byte of what a window stores beside the cursor, the
// options of its engine.Subscription. Then come, as numbers of Go's
// encoding/binary:
//
//	1 more than up to where messages may have been sent; 0 where that is not known
//	how many messages were refused and are not acknowledged; of each
//		how far its offset is above the one before
//		how often it was refused
const storedVersion = 1

// restore takes up what is stored, and returns the position behind which the log is to
// be read. visible is up to where there are messages now.
func (w *window) restore(stored *engine.Subscription, visible message.Offset) message.Position {
	sent, known := w.readOptions(stored.Options)
	if w.past = sent; !known {
		w.past = visible
	}
	w.early = stored.Cursor.Above
	return stored.Cursor.Position
}

// appendOptions appends what is stored beside the cursor, without gone as there. Where
// it is known, messages may have been sent up to sent, or to the past of earlier lives.
func (w *window) appendOptions(b []byte, sent message.Offset, known bool, gone offsets) []byte {
	b = append(b, storedVersion)
	if known {
		b = binary.AppendUvarint(b, uint64(max(sent, w.past))+1)
	} else {
		b = append(b, 0)
	}
	offsets := w.refusals(gone)
	b = binary.AppendUvarint(b, uint64(len(offsets)))
	last := message.Offset(0)
	for _, o := range offsets {
		b = binary.AppendUvarint(b, uint64(o-last))
		b = binary.AppendUvarint(b, uint64(w.refused[o]))
		last = o
	}
	return b
}

// readOptions takes up what appendOptions wrote. Of what it cannot read, nothing is
// known: all may have been sent before, nothing was refused.
func (w *window) readOptions(b []byte) (sent message.Offset, known bool) {
	bad := len(b) == 0 || b[0] != storedVersion
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if bad = bad || n <= 0; bad {
			return 0
		}
		b = b[n:]
		return v
	}
	if !bad {
		b = b[1:]
	}
	first, n := number(), number()
	refused := map[message.Offset]int{}
	for offset := message.Offset(0); n > 0 && !bad; n-- {
		offset += message.Offset(number())
		refused[offset] = int(number())
	}
	if bad {
		return 0, false
	}
	w.refused = refused
	return message.Offset(max(first, 1) - 1), first > 0
}

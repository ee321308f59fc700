package session

import "github.com/orbitd/orbitd/pkg/message"

// marks is how many stretches a window tells apart. An ack in the middle of a
// stretch frees it only when the rest of it is acknowledged; since acks are
// cumulative, that comes.
const marks = 4

// A window counts what was sent on one subscription and not acknowledged, in a
// fixed and small space: stretches of messages, the newest last.
type window struct {
	stretches [marks]stretch
	used      int8
	count     int32 // messages in all stretches
}

type stretch struct {
	last  message.Offset
	count int32
	bytes int32
}

// sent adds messages. When all stretches are in use the two newest become one.
func (w *window) sent(last message.Offset, count, bytes int) {
	w.count += int32(count)
	if w.used == marks {
		newest := &w.stretches[marks-1]
		below := &w.stretches[marks-2]
		if below.count > newest.count {
			newest.merge(last, count, bytes)
			return
		}
		below.merge(newest.last, int(newest.count), int(newest.bytes))
		w.used--
	}
	w.stretches[w.used] = stretch{last, int32(count), int32(bytes)}
	w.used++
}

func (s *stretch) merge(last message.Offset, count, bytes int) {
	s.last = last
	s.count += int32(count)
	s.bytes += int32(bytes)
}

// ack takes out what is acknowledged and returns how many bytes that were.
func (w *window) ack(offset message.Offset) (bytes int) {
	n := int8(0)
	for n < w.used && w.stretches[n].last <= offset {
		bytes += int(w.stretches[n].bytes)
		w.count -= w.stretches[n].count
		n++
	}
	copy(w.stretches[:], w.stretches[n:w.used])
	w.used -= n
	return bytes
}

// clear empties the window and returns how many bytes it held.
func (w *window) clear() (bytes int) { return w.ack(message.MaxOffset) }

package session

import (
	"sort"

	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A window counts what was sent on one subscription and not acknowledged. It
// holds no copies: a stretch is a part of the index that came with the messages
// and that all subscribers share, and runs that follow each other there are one
// stretch. So a window that is in use mostly has one, whatever its length.
type window struct {
	first stretch
	rest  []stretch // after first
	count int
}

// A stretch is some messages that follow each other in one index.
type stretch struct {
	ends  []hub.End
	start int // where the first one's frame begins
}

// sent adds the messages of a run.
func (w *window) sent(run hub.Run) {
	w.count += len(run.Ends)
	newest := &w.first
	if len(w.rest) > 0 {
		newest = &w.rest[len(w.rest)-1]
	}
	switch {
	case newest.grow(run.Ends):
	case len(w.first.ends) == 0:
		w.first = stretch{run.Ends, run.Start}
	default:
		w.rest = append(w.rest, stretch{run.Ends, run.Start})
	}
}

// grow takes in what stands directly behind s in the same index.
func (s *stretch) grow(next []hub.End) bool {
	n := len(s.ends)
	if n == 0 || cap(s.ends) <= n || &s.ends[:n+1][n] != &next[0] {
		return false
	}
	s.ends = s.ends[:n+len(next)]
	return true
}

// ack takes out what is acknowledged and returns how many bytes that were.
func (w *window) ack(offset message.Offset) (bytes int) {
	for {
		n, size := w.first.ack(offset)
		w.count -= n
		bytes += size
		if len(w.first.ends) > 0 || len(w.rest) == 0 {
			break
		}
		w.first, w.rest = w.rest[0], w.rest[1:]
	}
	if w.count == 0 {
		*w = window{} // lets go of the indexes
	}
	return bytes
}

func (s *stretch) ack(offset message.Offset) (n, bytes int) {
	n = sort.Search(len(s.ends), func(i int) bool { return s.ends[i].Offset > offset })
	if n == 0 {
		return 0, 0
	}
	end := s.ends[n-1].At
	bytes = end - s.start
	s.ends, s.start = s.ends[n:], end
	return n, bytes
}

// clear empties the window and returns how many bytes it held.
func (w *window) clear() (bytes int) { return w.ack(message.MaxOffset) }

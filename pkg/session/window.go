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
	rest  *rest // after first; mostly nil
}

// A rest is the stretches of a window after its first.
type rest struct {
	stretches []stretch
	count     int // messages in these
}

// A stretch is some messages that follow each other in one index.
type stretch struct {
	ends  []hub.End
	start int // where the first one's frame begins
}

// count returns how many messages there are.
func (w *window) count() int {
	n := len(w.first.ends)
	if w.rest != nil {
		n += w.rest.count
	}
	return n
}

// sent adds the messages of a run.
func (w *window) sent(run hub.Run) {
	next := stretch{run.Ends, run.Start}
	switch {
	case w.rest != nil:
		w.rest.add(next)
	case w.first.grow(run.Ends):
	case len(w.first.ends) == 0:
		w.first = next
	default:
		w.rest = &rest{}
		w.rest.add(next)
	}
}

func (r *rest) add(next stretch) {
	r.count += len(next.ends)
	if n := len(r.stretches); n == 0 || !r.stretches[n-1].grow(next.ends) {
		r.stretches = append(r.stretches, next)
	}
}

// take takes out the first stretch.
func (r *rest) take() stretch {
	first := r.stretches[0]
	r.stretches = r.stretches[1:]
	r.count -= len(first.ends)
	return first
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
	bytes = w.first.ack(offset)
	for len(w.first.ends) == 0 && w.rest != nil {
		w.first = w.rest.take()
		if len(w.rest.stretches) == 0 {
			w.rest = nil
		}
		bytes += w.first.ack(offset)
	}
	if len(w.first.ends) == 0 {
		w.first = stretch{} // lets go of the index
	}
	return bytes
}

func (s *stretch) ack(offset message.Offset) (bytes int) {
	n := sort.Search(len(s.ends), func(i int) bool { return s.ends[i].Offset > offset })
	if n == 0 {
		return 0
	}
	end := s.ends[n-1].At
	bytes = end - s.start
	s.ends, s.start = s.ends[n:], end
	return bytes
}

// clear empties the window and returns how many bytes it held.
func (w *window) clear() (bytes int) { return w.ack(message.MaxOffset) }

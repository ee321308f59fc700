package hub

import (
	"slices"
	"sort"

	"github.com/orbitd/orbitd/pkg/message"
)

// A Run is a stretch of one channel's messages, framed and contiguous. Both
// slices are shared and immutable, and may be kept.
type Run struct {
	Frames []byte
	Ends   []End // one a message
	Start  int   // where Frames begins in what Ends counts
}

// An End is a message's offset, and where its frame ends.
type End struct {
	Offset message.Offset
	At     int
}

// Last returns the offset of the run's last message, of which there is one.
func (r *Run) Last() message.Offset { return r.Ends[len(r.Ends)-1].Offset }

// Cut parts the run behind the messages up to and with an offset.
func (r Run) Cut(offset message.Offset) (head, rest Run) {
	n := sort.Search(len(r.Ends), func(i int) bool { return r.Ends[i].Offset > offset })
	if n == 0 {
		return Run{}, r
	}
	at := r.Ends[n-1].At
	cut := at - r.Start
	return Run{r.Frames[:cut:cut], r.Ends[:n], r.Start}, Run{r.Frames[cut:], r.Ends[n:], at}
}

// ringBytes is how many bytes of frames a topic keeps for those who fell behind
// by little. A turn that brings more keeps all of it until the round is over.
const ringBytes = 128 << 10

// A ring holds the newest frames of a topic, contiguous, so that what any
// subscriber is missing is one slice. A buffer is only ever appended to: slices
// of it may wait in sockets. When it is full its newer half moves to a new one.
// The same holds for ends: windows keep slices of it.
type ring struct {
	buf  []byte
	ends []End
	// floor is how far back the ring reaches: it holds every message after it.
	floor message.Offset
	aged  int // ends[:aged] were there when age was last called
}

// add appends one message. Messages from index keep on survive a move.
func (r *ring) add(f Format, m *message.Message, keep int) (kept int) {
	if len(r.buf) > ringBytes {
		keep = r.shed(keep)
	}
	r.buf = f.Append(r.buf, m, false)
	r.ends = append(r.ends, End{m.Offset, len(r.buf)})
	return keep
}

// shed drops the older half of the frames, but none from index keep on. It
// returns where keep is now.
func (r *ring) shed(keep int) int {
	half := sort.Search(len(r.ends), func(i int) bool { return r.ends[i].At > len(r.buf)/2 })
	n := min(half, keep)
	r.drop(n, ringBytes+ringBytes/4)
	return keep - n
}

// age drops what has not come since the last call, but nothing from index keep
// on, and returns where keep is now.
func (r *ring) age(keep int) int {
	n := min(r.aged, keep)
	r.drop(n, 0)
	r.aged = len(r.ends)
	return keep - n
}

// drop moves all but the first n frames to a fresh buffer with the given room.
func (r *ring) drop(n, room int) {
	if n == 0 {
		return
	}
	cut := r.ends[n-1].At
	r.floor = r.ends[n-1].Offset
	r.aged = max(r.aged-n, 0)
	if n == len(r.ends) {
		r.buf, r.ends = nil, nil
		return
	}
	rest := r.buf[cut:]
	r.buf = append(make([]byte, 0, max(room, len(rest))), rest...)
	r.ends = slices.Clone(r.ends[n:])
	for i := range r.ends {
		r.ends[i].At -= cut
	}
}

// fill takes in what stands before the ring: run holds every message that follows
// after, up to the floor at least. It does so if there is room, and returns how
// many messages that were.
func (r *ring) fill(after message.Offset, run Run) (added int) {
	n := sort.Search(len(run.Ends), func(i int) bool { return run.Ends[i].Offset > r.floor })
	size := 0
	if n > 0 {
		size = run.Ends[n-1].At - run.Start
	}
	if after >= r.floor || size+len(r.buf) > ringBytes {
		return 0
	}
	r.floor = after
	if n == 0 {
		return 0
	}
	r.buf = slices.Concat(run.Frames[:size], r.buf)
	ends := make([]End, 0, n+len(r.ends))
	for _, e := range run.Ends[:n] {
		ends = append(ends, End{e.Offset, e.At - run.Start})
	}
	for _, e := range r.ends {
		ends = append(ends, End{e.Offset, e.At + size})
	}
	r.ends = ends
	if r.aged > 0 {
		r.aged += n
	}
	return n
}

// after returns the index of the first message after the offset.
func (r *ring) after(offset message.Offset) int {
	return sort.Search(len(r.ends), func(i int) bool { return r.ends[i].Offset > offset })
}

// run returns the messages from index i on, within the limits but at least one.
func (r *ring) run(i, messages, bytes int) Run {
	start := r.start(i)
	last := min(i+messages, len(r.ends)) - 1
	for last > i && r.ends[last].At-start > bytes {
		last--
	}
	end := r.ends[last].At
	return Run{Frames: r.buf[start:end:end], Ends: r.ends[i : last+1], Start: start}
}

func (r *ring) start(i int) int {
	if i == 0 {
		return 0
	}
	return r.ends[i-1].At
}

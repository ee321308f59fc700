package stomp

import (
	"maps"
	"slices"
	"sort"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A window is what was sent to a client and is not acknowledged, and what else
// tells what is still to be sent. It knows neither connections nor the engine.
type window struct {
	open []delivery // by offset, from the first that is not acknowledged on
	// early is what an earlier life of a stored subscription acknowledged out of
	// order and this one has not come by yet, by offset.
	early []message.Offset
	// past is up to where an earlier life may have sent messages.
	past message.Offset
	// refused is how often clients have refused what is not acknowledged.
	refused map[message.Offset]int
}

// A delivery is a message that was sent to a client that acknowledges.
type delivery struct {
	offset message.Offset
	before message.Offset // read after this, it comes again, and what was told with it
	size   int            // bytes that were sent
	done   bool           // acknowledged
	dying  bool           // on its way to the channel of dead messages
}

// add enters what is sent now.
func (w *window) add(d delivery) { w.open = append(w.open, d) }

// wasEarly reports whether a message that is come by was acknowledged in an earlier
// life, and enters it as that.
func (w *window) wasEarly(offset message.Offset) bool {
	w.passed(offset - 1)
	if len(w.early) == 0 || w.early[0] != offset {
		return false
	}
	w.early = w.early[1:]
	if len(w.open) > 0 {
		w.add(delivery{offset: offset, before: offset - 1, done: true})
	}
	return true
}

// passed forgets what was acknowledged and is gone: nothing up to an offset comes
// any more.
func (w *window) passed(offset message.Offset) {
	for len(w.early) > 0 && w.early[0] <= offset {
		w.early = w.early[1:]
	}
}

// at returns what was sent with that offset and is not acknowledged, or nil.
func (w *window) at(offset message.Offset) *delivery {
	i := w.upTo(offset) - 1
	if i < 0 || w.open[i].offset != offset || w.open[i].done {
		return nil
	}
	return &w.open[i]
}

// upTo returns how many of what is open are up to and with an offset.
func (w *window) upTo(offset message.Offset) int {
	return sort.Search(len(w.open), func(i int) bool { return w.open[i].offset > offset })
}

// affected yields what is not acknowledged of what an ACK or NACK of an offset is
// about: that message, or all up to it as well.
func (w *window) affected(offset message.Offset, alone bool) func(yield func(*delivery) bool) {
	begin, end := 0, w.upTo(offset)
	if alone {
		begin = max(end-1, 0)
		if end > 0 && w.open[end-1].offset != offset {
			begin = end
		}
	}
	return func(yield func(*delivery) bool) {
		for i := begin; i < end; i++ {
			if !w.open[i].done && !yield(&w.open[i]) {
				return
			}
		}
	}
}

// settle enters an acknowledgement. advance lets go of it.
func (w *window) settle(d *delivery) {
	d.done = true
	delete(w.refused, d.offset)
}

// advance lets go of what is acknowledged, up to the first that is not.
func (w *window) advance() {
	n := 0
	for n < len(w.open) && w.open[n].done {
		n++
	}
	if w.open = w.open[n:]; len(w.open) == 0 {
		w.open = nil
	}
}

// refuse counts that a client has refused a message, and returns how often it was.
func (w *window) refuse(offset message.Offset) int {
	if w.refused == nil {
		w.refused = map[message.Offset]int{}
	}
	w.refused[offset]++
	return w.refused[offset]
}

// An offsets is a set of messages.
type offsets map[message.Offset]bool

// cursor returns what is acknowledged, where everything up to sent was sent; as if
// gone was, too.
func (w *window) cursor(sent message.Position, gone offsets) engine.Cursor {
	c := engine.Cursor{Position: sent}
	rest := w.open
	for len(rest) > 0 && (rest[0].done || gone[rest[0].offset]) {
		rest = rest[1:]
	}
	if len(rest) > 0 {
		c.Position.Offset = rest[0].before
	}
	for i := range rest {
		if rest[i].done || gone[rest[i].offset] {
			c.Above = append(c.Above, rest[i].offset)
		}
	}
	c.Above = append(c.Above, w.early...)
	return c
}

// refusals returns what was refused, by offset, without gone.
func (w *window) refusals(gone offsets) []message.Offset {
	all := slices.Sorted(maps.Keys(w.refused))
	return slices.DeleteFunc(all, func(o message.Offset) bool { return gone[o] })
}

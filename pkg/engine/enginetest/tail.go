package enginetest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A recorder is a tail that keeps what it was given.
type recorder struct {
	stop func()

	arrived chan struct{} // holds one token after a delivery

	mu       sync.Mutex
	batches  []engine.Batch
	messages int
	taken    int // how many of batches were taken
}

func (r *recorder) deliver(b engine.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, b)
	r.messages += len(b.Messages)
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages
}

// take returns the batches that came since the last take.
func (r *recorder) take() []engine.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	batches := r.batches[r.taken:]
	r.taken = len(r.batches)
	return slices.Clone(batches)
}

// follow takes up a tail.
func (b *bench) follow() *recorder {
	r := &recorder{arrived: make(chan struct{}, 1)}
	r.stop = b.engine.Tail(r.deliver)
	return r
}

// reach waits until the tail was given the message at an offset, unless that is
// at or before known.
func (r *recorder) reach(offset, known message.Offset) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for offset > known && !slices.Contains(r.all(), offset) {
		select {
		case <-r.arrived:
		case <-timer.C:
			return fmt.Errorf("offset %d can be read, but the tail was never given it", offset)
		}
	}
	return nil
}

// shown returns what the tail has delivered since, by offset.
func (b *bench) shown() map[message.Offset]message.Message {
	b.t.Helper()
	shown := map[message.Offset]message.Message{}
	last := b.ledger.visible
	for _, batch := range b.tail.take() {
		if batch.Epoch != b.ledger.epoch() {
			b.check(fmt.Errorf("the tail delivered a batch of epoch %v in run %v", batch.Epoch, b.ledger.epoch()))
		}
		for _, m := range batch.Messages {
			if m.Offset <= last || m.Offset > batch.Through {
				b.check(fmt.Errorf("the tail delivered offset %d after %d in a batch through %d", m.Offset, last, batch.Through))
			}
			last = m.Offset
			shown[m.Offset] = m
		}
	}
	return shown
}

// A lateness is what the tail has of submissions that were answered with Unknown
// and turned out to be stored.
type lateness struct {
	found     []message.Message // in the order of their offsets
	unsettled []*submission     // whose they may be
}

// late takes out of shown what none of the answers of sent is about.
func (b *bench) late(shown map[message.Offset]message.Message, sent []*submission) lateness {
	answered := map[message.Offset]bool{}
	l := lateness{unsettled: slices.Clone(b.maybe)}
	for _, s := range sent {
		for _, r := range s.receipts {
			answered[r.Offset] = answered[r.Offset] || !r.Duplicate
		}
		if message.CodeOf(s.err) == message.Unknown {
			l.unsettled = append(l.unsettled, s)
		}
	}
	for _, o := range slices.Sorted(maps.Keys(shown)) {
		if !answered[o] {
			l.found = append(l.found, shown[o])
			delete(shown, o)
		}
	}
	return l
}

// enter puts what was found below an offset into the ledger.
func (b *bench) enter(l *lateness, below message.Offset) {
	b.t.Helper()
	n := 0
	for n < len(l.found) && l.found[n].Offset < below {
		n++
	}
	b.match(l.found[:n], l.unsettled, true)
	l.found = l.found[n:]
}

// first returns the offset of the first message that a submission stored, or 0.
func (s *submission) first() message.Offset {
	for _, r := range s.receipts {
		if !r.Duplicate {
			return r.Offset
		}
	}
	return 0
}

// match enters found messages, in the order of their offsets, that make up whole
// submissions of which it was not known whether they are stored; memory tells
// whether messages of memory channels are to be among them.
func (b *bench) match(found []message.Message, unsettled []*submission, memory bool) {
	b.t.Helper()
	for len(found) > 0 {
		i := slices.IndexFunc(unsettled, func(s *submission) bool { return s.starts(found, b.parts(s, memory)) })
		if i < 0 {
			b.check(fmt.Errorf("found %v, beginning with %s: no whole submission", offsets(found), describe(found[0])))
			return
		}
		parts := b.parts(unsettled[i], memory)
		for j, m := range parts {
			b.check(b.ledger.place(m, found[j], unsettled[i].clock))
		}
		found = found[len(parts):]
		unsettled[i].found = true
		b.ledger.savedWith(unsettled[i])
	}
}

// parts returns the messages of s that are to be found: without those under keys
// that are stored.
func (b *bench) parts(s *submission, memory bool) (parts []message.Message) {
	for _, m := range s.msgs {
		_, stored := b.ledger.keys[scopeOf(&m, m.Key)]
		if (m.Key == "" || !stored) && (memory || !b.rules[m.Channel].Memory) {
			parts = append(parts, m)
		}
	}
	return parts
}

func (s *submission) starts(found, parts []message.Message) bool {
	if len(parts) == 0 || len(parts) > len(found) {
		return false
	}
	for i := range parts {
		if same(parts[i], found[i]) != nil {
			return false
		}
	}
	return true
}

// follows checks that an extra tail, taken up after the main one had delivered
// from messages, was given the same.
func (b *bench) follows(extra *recorder, from int) {
	b.t.Helper()
	extra.stop()
	all, own := b.tail.all()[from:], extra.all()
	if !slices.Equal(all, own) {
		b.check(fmt.Errorf("one tail was given %v, another %v", all, own))
	}
}

// all returns the offsets of everything that was delivered.
func (r *recorder) all() (all []message.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, batch := range r.batches {
		all = append(all, offsets(batch.Messages)...)
	}
	return all
}

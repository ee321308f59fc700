package enginetest

import (
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A reading is one Read and its answer, with what Status said was visible
// afterwards.
type reading struct {
	names   []channel.Name
	after   message.Position
	limit   engine.Limit
	batch   engine.Batch
	visible message.Offset
}

// read judges a reading, and learns from it what the engine has trimmed.
func (l *ledger) read(r reading) error {
	b := r.batch
	if err := l.wellFormed(r); err != nil {
		return err
	}
	for _, name := range r.names {
		if err := l.readChannel(r, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if i := slices.IndexFunc(b.Messages, func(m message.Message) bool { return !slices.Contains(r.names, m.Channel) }); i >= 0 {
		return fmt.Errorf("message of %s, which was not asked for", b.Messages[i].Channel)
	}
	if b.More {
		return l.endedByLimit(r)
	}
	return nil
}

// wellFormed judges what needs no knowledge of the messages.
func (l *ledger) wellFormed(r reading) error {
	b := r.batch
	if b.Epoch != l.epoch() {
		return fmt.Errorf("batch of epoch %v, the run's is %v", b.Epoch, l.epoch())
	}
	if b.Through > r.visible {
		return fmt.Errorf("through %d, but only %d is visible", b.Through, r.visible)
	}
	if !b.More && b.Through < l.visible {
		return fmt.Errorf("through %d without more, but %d is stored", b.Through, l.visible)
	}
	for i := range b.Messages {
		if o := b.Messages[i].Offset; o > b.Through || i > 0 && o <= b.Messages[i-1].Offset {
			return fmt.Errorf("offset %d is out of order in a batch through %d", o, b.Through)
		}
	}
	if !slices.IsSortedFunc(b.Gaps, func(x, y engine.Gap) int { return int(x.To) - int(y.To) }) {
		return fmt.Errorf("gaps are out of order: %v", b.Gaps)
	}
	return withinLimit(b.Messages, r.limit)
}

func withinLimit(msgs []message.Message, limit engine.Limit) error {
	limit = orDefault(limit)
	if len(msgs) > 1 && (len(msgs) > limit.Messages || size(msgs) > limit.Bytes) {
		return fmt.Errorf("%d messages of %d bytes exceed the limit %+v", len(msgs), size(msgs), limit)
	}
	return nil
}

func orDefault(l engine.Limit) engine.Limit {
	if l.Messages == 0 {
		l.Messages = engine.DefaultLimit.Messages
	}
	if l.Bytes == 0 {
		l.Bytes = engine.DefaultLimit.Bytes
	}
	return l
}

func size(msgs []message.Message) (n int) {
	for i := range msgs {
		n += msgs[i].Size()
	}
	return n
}

// readChannel judges what a reading has of one channel.
func (l *ledger) readChannel(r reading, name channel.Name) error {
	got := ofChannel(r.batch.Messages, name)
	gap, err := l.gap(r, name)
	if err != nil {
		return err
	}
	from := l.from(r, gap)
	lost, rest := l.missing(name, from, r.batch.Through, got)
	n := l.line(name)
	if lost > n.gone {
		return fmt.Errorf("offset %d is missing, and no rule ever allowed that", lost)
	}
	if err := equal(rest, got); err != nil {
		return err
	}
	hidden := l.hidden(name)
	if i := slices.IndexFunc(got, func(m message.Message) bool { return m.Offset <= hidden }); i >= 0 {
		return fmt.Errorf("offset %d was read, but the rules cover nothing up to %d", got[i].Offset, hidden)
	}
	n.floor = max(n.floor, lost)
	return l.gapFits(r, name, from, gap)
}

// A span is what the gaps of one channel say together.
type span struct {
	ok     bool
	to     message.Offset
	reason engine.Reason
}

// gap returns what a batch's gaps say of a channel, if that is well formed.
func (l *ledger) gap(r reading, name channel.Name) (s span, err error) {
	for _, g := range r.batch.Gaps {
		switch {
		case g.Channel != name:
			continue
		case !slices.Contains(r.names, g.Channel), r.after.Offset == 0:
			return s, fmt.Errorf("gap %+v that nothing asked for", g)
		case !s.ok && g.After != r.after.Offset:
			return s, fmt.Errorf("gap %+v does not begin at the position %d", g, r.after.Offset)
		case g.Reason != engine.History && g.To <= g.After:
			return s, fmt.Errorf("gap %+v is empty", g)
		case g.To > r.visible:
			return s, fmt.Errorf("gap %+v reaches beyond what is visible, %d", g, r.visible)
		}
		if s.reason != engine.History {
			s.reason = g.Reason
		}
		s.ok, s.to = true, g.To
	}
	if i := slices.IndexFunc(r.batch.Messages, func(m message.Message) bool { return m.Channel == name }); i >= 0 && s.ok && r.batch.Messages[i].Offset <= s.to {
		return s, fmt.Errorf("gap up to %d with message %d in it", s.to, r.batch.Messages[i].Offset)
	}
	return s, nil
}

// from returns after which offset the messages must come.
func (l *ledger) from(r reading, gap span) message.Offset {
	end, known := l.reach(r.after.Epoch, r.visible)
	switch {
	case r.after.Offset == 0 || !known:
		return 0
	case r.after.Offset > end:
		return end
	}
	return r.after.Offset
}

// missing returns what the engine left out in front of what it returned (the
// greatest offset of it; 0 if nothing), and what it should have returned then.
func (l *ledger) missing(name channel.Name, from, through message.Offset, got []message.Message) (lost message.Offset, rest []message.Message) {
	hidden := l.hidden(name)
	first := through + 1
	if len(got) > 0 {
		first = got[0].Offset
	}
	for _, m := range l.line(name).all {
		switch {
		case m.Offset <= from || m.Offset > through:
		case m.Offset >= first:
			rest = append(rest, m)
		case m.Offset > hidden:
			lost = m.Offset
		}
	}
	return lost, rest
}

// gapFits judges whether the gap says all that cannot be read, and no more.
func (l *ledger) gapFits(r reading, name channel.Name, from message.Offset, gap span) error {
	if r.after.Offset == 0 {
		return nil
	}
	n := l.line(name)
	end, known := l.reach(r.after.Epoch, r.visible)
	foreign := !known || r.after.Offset > end
	if foreign != (gap.reason == engine.History) {
		return fmt.Errorf("gap for reason %q; position of another history: %v", gap.reason, foreign)
	}
	memory := l.options.Rules(name).Memory
	if err := l.gapCovers(r, name, from, gap); err != nil {
		return err
	}
	if memory && !foreign && r.after.Offset < n.lost && (!gap.ok || gap.to < n.lost) {
		return fmt.Errorf("no gap up to %d, which was lost with an earlier run: %+v", n.lost, gap)
	}
	if memory && gap.ok && !foreign && r.after.Offset < n.lost && gap.reason != engine.Lost {
		return fmt.Errorf("gap for reason %q, want %q", gap.reason, engine.Lost)
	}
	return nil
}

// gapCovers judges a gap against the messages of its channel.
func (l *ledger) gapCovers(r reading, name channel.Name, from message.Offset, gap span) error {
	n, hidden := l.line(name), l.hidden(name)
	needed := message.Offset(0) // the greatest offset that is gone
	for _, m := range n.all {
		if m.Offset > from && m.Offset <= max(hidden, n.floor) {
			needed = m.Offset
		}
		if gap.ok && m.Offset > from && m.Offset <= gap.to && m.Offset > max(hidden, n.floor) {
			if m.Offset > n.gone {
				return fmt.Errorf("gap up to %d has offset %d in it, which every rule covers", gap.to, m.Offset)
			}
			n.floor = m.Offset
		}
	}
	if min(needed, r.batch.Through) > gap.to {
		return fmt.Errorf("no gap up to %d, where the rules end: %+v", needed, gap)
	}
	if gap.ok && gap.reason != engine.History && needed == 0 && n.floor <= from && !l.mayNotKnow(name, from) {
		return fmt.Errorf("gap up to %d, but nothing is missing", gap.to)
	}
	return nil
}

// mayNotKnow reports whether an engine may not know any more that it had nothing
// after a position.
func (l *ledger) mayNotKnow(name channel.Name, from message.Offset) bool {
	return from < l.forgettable || l.options.Rules(name).Memory && from < l.first()
}

// endedByLimit judges a batch with More.
func (l *ledger) endedByLimit(r reading) error {
	limit := orDefault(r.limit)
	next := l.nextSize(r.names, r.batch.Through)
	msgs := r.batch.Messages
	if len(msgs) == 0 || len(msgs) < limit.Messages && size(msgs)+next <= limit.Bytes {
		return fmt.Errorf("%d messages of %d bytes did not reach the limit %+v, yet more is set", len(msgs), size(msgs), limit)
	}
	return nil
}

// nextSize returns how big the next message after an offset may be: some that
// could be next the engine may have trimmed.
func (l *ledger) nextSize(names []channel.Name, after message.Offset) (next int) {
	sure := message.MaxOffset // offset of the first message that must be there
	l.readable(names, after, func(m *message.Message, mayBeGone bool) {
		if !mayBeGone {
			sure = min(sure, m.Offset)
		}
	})
	l.readable(names, after, func(m *message.Message, _ bool) {
		if m.Offset <= sure {
			next = max(next, m.Size())
		}
	})
	return next
}

// readable calls yield for the messages of channels after an offset.
func (l *ledger) readable(names []channel.Name, after message.Offset, yield func(m *message.Message, mayBeGone bool)) {
	for _, name := range names {
		n, hidden := l.line(name), l.hidden(name)
		for i := range n.all {
			if m := &n.all[i]; m.Offset > max(hidden, after) {
				yield(m, m.Offset <= n.gone)
			}
		}
	}
}

func ofChannel(msgs []message.Message, name channel.Name) (of []message.Message) {
	for _, m := range msgs {
		if m.Channel == name {
			of = append(of, m)
		}
	}
	return of
}

// equal returns how the messages read differ from those placed.
func equal(want, got []message.Message) error {
	for i := range min(len(want), len(got)) {
		w, g := want[i], got[i]
		if w.Offset != g.Offset || w.Previous != g.Previous || w.Time != g.Time {
			return fmt.Errorf("read offset %d (previous %d, time %d); want %d (%d, %d)", g.Offset, g.Previous, g.Time, w.Offset, w.Previous, w.Time)
		}
		if err := same(w, g); err != nil {
			return fmt.Errorf("offset %d: %w", w.Offset, err)
		}
	}
	if len(want) != len(got) {
		return fmt.Errorf("read %d messages %v; want %d %v", len(got), offsets(got), len(want), offsets(want))
	}
	return nil
}

func offsets(msgs []message.Message) (list []message.Offset) {
	for _, m := range msgs {
		list = append(list, m.Offset)
	}
	return list
}

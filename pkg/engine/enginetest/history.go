package enginetest

import (
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// history judges what History returned.
func (l *ledger) history(name channel.Name, before message.Offset, limit engine.Limit, b engine.Batch) error {
	if b.Epoch != l.epoch() || len(b.Gaps) > 0 {
		return fmt.Errorf("batch of epoch %v with gaps %v", b.Epoch, b.Gaps)
	}
	if err := withinLimit(b.Messages, limit); err != nil {
		return err
	}
	n, hidden := l.line(name), l.hidden(name)
	want := slices.Clone(n.all)
	want = slices.DeleteFunc(want, func(m message.Message) bool {
		return m.Offset <= hidden || before > 0 && m.Offset >= before
	})
	older := len(want) - len(b.Messages)
	if older < 0 {
		return fmt.Errorf("%d messages, where %d can be read", len(b.Messages), len(want))
	}
	if err := equal(want[older:], b.Messages); err != nil || older == 0 {
		return err
	}
	limit = orDefault(limit)
	next := want[older-1]
	full := len(b.Messages) >= limit.Messages || len(b.Messages) > 0 && size(b.Messages)+next.Size() > limit.Bytes
	if !full && next.Offset > n.gone {
		return fmt.Errorf("offset %d is missing: the limit has room, and no rule ever allowed that", next.Offset)
	}
	return nil
}

// tip judges what Tip returned.
func (l *ledger) tip(name channel.Name, tip engine.Tip) error {
	n := l.line(name)
	switch {
	case tip.Visible.Epoch != l.epoch() || tip.Visible.Offset < max(l.visible, l.first()):
		return fmt.Errorf("tip of %s: visible %v, but %d of %v was", name, tip.Visible, l.visible, l.epoch())
	case tip.Last != n.last && (tip.Last != 0 || n.forgettable < n.last):
		return fmt.Errorf("tip of %s: last %d, want %d", name, tip.Last, n.last)
	}
	return nil
}

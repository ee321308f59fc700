package enginetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A verdict is what an engine may answer for one message.
type verdict struct {
	store  bool           // as a new message
	repeat message.Offset // as a duplicate of this offset
	within int            // as a duplicate of this message of the same Submit; -1 if of none
	refuse []message.Code // with one of these
}

func (v verdict) String() string {
	return fmt.Sprintf("store=%v duplicate of offset %d, of message %d, refuse=%v", v.store, v.repeat, v.within, v.refuse)
}

// judge returns what the engine may answer for msgs[i] if it takes those before.
func (l *ledger) judge(msgs []message.Message, i int) verdict {
	m := &msgs[i]
	if m.Key == "" {
		return verdict{store: true, within: -1}
	}
	if j := slices.IndexFunc(msgs[:i], sameKey(m)); j >= 0 {
		return l.judgeRepeat(msgs, i, j)
	}
	used, ok := l.keys[scopeOf(m, m.Key)]
	if !ok {
		return l.judgeNew(msgs[:i], m)
	}
	v := verdict{within: -1}
	if sameContent(&used.message, m) {
		v.repeat = used.message.Offset
	} else {
		v.refuse = []message.Code{message.Conflict}
	}
	if l.remembered(used) {
		return v
	}
	// The engine may have forgotten the key. Then a retry must not be stored
	// again, but a publish that says it is new may be.
	fresh := l.judgeNew(msgs[:i], m)
	v.refuse = append(v.refuse, fresh.refuse...)
	if m.First == 0 || m.First > used.message.Time {
		v.store = fresh.store
	} else {
		v.refuse = append(v.refuse, message.KeyExpired)
	}
	return v
}

func sameKey(m *message.Message) func(message.Message) bool {
	return func(o message.Message) bool { return scopeOf(&o, o.Key) == scopeOf(m, m.Key) }
}

// judgeRepeat judges a key that an earlier message j of the same Submit has.
func (l *ledger) judgeRepeat(msgs []message.Message, i, j int) verdict {
	if !sameContent(&msgs[i], &msgs[j]) {
		return verdict{within: -1, refuse: []message.Code{message.Conflict}}
	}
	return verdict{within: j}
}

// judgeNew judges a key of which the engine knows nothing.
func (l *ledger) judgeNew(before []message.Message, m *message.Message) verdict {
	v := verdict{store: true, within: -1}
	if m.First != 0 && m.First <= l.droppedKeys() {
		v.refuse = append(v.refuse, message.KeyExpired)
	}
	if m.Predecessor == "" || slices.ContainsFunc(before, func(o message.Message) bool {
		return scopeOf(&o, o.Key) == scopeOf(m, m.Predecessor)
	}) {
		return v
	}
	used, ok := l.keys[scopeOf(m, m.Predecessor)]
	if !ok || !l.remembered(used) {
		v.refuse = append(v.refuse, message.OutOfOrder)
	}
	v.store = v.store && ok
	return v
}

// remembered reports whether the engine must still know a key.
func (l *ledger) remembered(k keyed) bool {
	return k.message.Time >= l.latest-l.options.KeyWindow.Milliseconds() && l.keyed-k.nth < l.options.KeyCount
}

// droppedKeys returns the greatest time of a key that the engine may have
// dropped.
func (l *ledger) droppedKeys() int64 {
	greatest := l.dropped
	for _, k := range l.keys {
		if !l.remembered(k) {
			greatest = max(greatest, k.message.Time)
		}
	}
	return greatest
}

// refused returns what is wrong with the refusal of msgs by err.
func (l *ledger) refused(msgs []message.Message, err error) error {
	e, ok := errors.AsType[*message.Error](err)
	if !ok {
		return fmt.Errorf("refused with an error that is no *message.Error: %w", err)
	}
	if e.Index < 0 || e.Index >= len(msgs) {
		return fmt.Errorf("refused message %d of %d: %w", e.Index, len(msgs), err)
	}
	if v := l.judge(msgs, e.Index); !slices.Contains(v.refuse, e.Code) {
		return fmt.Errorf("message %d (%s) refused with %w; want %v", e.Index, describe(msgs[e.Index]), err, v)
	}
	return nil
}

// accepted enters msgs, which the engine answered with receipts. shown holds
// what the engine's tail delivered meanwhile, by offset, and clock is the time at
// which they were submitted.
func (l *ledger) accepted(msgs []message.Message, receipts []engine.Receipt, shown map[message.Offset]message.Message, clock int64) error {
	if len(receipts) != len(msgs) {
		return fmt.Errorf("%d receipts for %d messages", len(receipts), len(msgs))
	}
	verdicts := make([]verdict, len(msgs)) // all before any is entered: a Submit is one unit
	for i := range msgs {
		verdicts[i] = l.judge(msgs, i)
	}
	for i, r := range receipts {
		if err := l.receipt(msgs[i], r, verdicts[i], receipts); err != nil {
			return err
		}
		if r.Duplicate {
			continue
		}
		got, ok := shown[r.Offset]
		if !ok {
			return fmt.Errorf("offset %d was answered before the tail had it", r.Offset)
		}
		delete(shown, r.Offset)
		if err := l.place(msgs[i], got, clock); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) receipt(m message.Message, r engine.Receipt, v verdict, all []engine.Receipt) error {
	switch {
	case !r.Duplicate && v.store,
		r.Duplicate && v.within >= 0 && r.Offset == all[v.within].Offset,
		r.Duplicate && v.repeat > 0 && r.Offset == v.repeat:
		return nil
	}
	return fmt.Errorf("%s: answered with %+v; want %v", describe(m), r, v)
}

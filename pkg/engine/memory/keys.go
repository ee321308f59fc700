package memory

import (
	"bytes"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// Keys remembers which idempotency keys were used, and for what.
type Keys struct {
	entries map[scope]keyed
	order   []keyed // oldest first
	// forgotten is the greatest time of a key that was dropped.
	forgotten int64
}

// A scope is within what a key is one key.
type scope struct {
	channel        channel.Name
	publisher, key string
}

type keyed struct {
	scope
	message message.Message
}

func scopeOf(m *message.Message, key string) scope { return scope{m.Channel, m.Publisher, key} }

// Add remembers the key of m, if it has one.
func (k *Keys) Add(m message.Message) {
	if m.Key == "" {
		return
	}
	e := keyed{scopeOf(&m, m.Key), m}
	k.entries[e.scope] = e
	k.order = append(k.order, e)
}

// Find returns the message that was stored under key in m's scope.
func (k *Keys) Find(m *message.Message, key string) (message.Message, bool) {
	e, ok := k.entries[scopeOf(m, key)]
	return e.message, ok
}

// Forget drops keys that are older than window at now, and the oldest beyond
// count.
func (k *Keys) Forget(now int64, window time.Duration, count int) {
	for len(k.order) > 0 {
		e := k.order[0]
		if len(k.order) <= count && e.message.Time >= now-window.Milliseconds() {
			return
		}
		k.order = k.order[1:]
		k.forgotten = max(k.forgotten, e.message.Time)
		if k.entries[e.scope].message.Offset == e.message.Offset {
			delete(k.entries, e.scope)
		}
	}
}

// Expired reports whether a publish first tried at first may have been stored under
// a key that was forgotten.
func (k *Keys) Expired(first int64) bool { return first != 0 && first <= k.forgotten }

func (k *Keys) dropChannel(name channel.Name) {
	k.remove(func(m message.Message) bool { return m.Channel == name })
}

func (k *Keys) remove(gone func(message.Message) bool) {
	k.order = slices.DeleteFunc(k.order, func(e keyed) bool { return gone(e.message) })
	clear(k.entries)
	for _, e := range k.order {
		k.entries[e.scope] = e
	}
}

// Same reports whether two messages under one key have the same content.
func Same(a, b *message.Message) bool {
	return a.ContentType == b.ContentType && slices.Equal(a.Headers, b.Headers) && bytes.Equal(a.Data, b.Data)
}

// Judge returns what becomes of msgs: a receipt for each, whose offset is
// zero where the message is to be stored; or why they are refused. A receipt
// with Duplicate and no offset repeats a message of msgs itself, whose index
// repeats holds.
func (k *Keys) Judge(msgs []message.Message) (receipts []engine.Receipt, repeats []int, err error) {
	receipts = make([]engine.Receipt, len(msgs))
	repeats = make([]int, len(msgs))
	own := map[scope]int{}
	for i := range msgs {
		m := &msgs[i]
		if m.Key == "" {
			continue
		}
		if code := k.judge(msgs, i, own, &receipts[i], &repeats[i]); code != "" {
			e := message.Errorf(code, "message %d, key %q: %s", i, m.Key, reasons[code])
			e.Index = i
			return nil, nil, e
		}
	}
	return receipts, repeats, nil
}

var reasons = map[message.Code]string{
	message.Conflict:   "the key was used with other content",
	message.KeyExpired: "the first attempt is older than what keys are remembered for",
	message.OutOfOrder: "the predecessor is not stored",
}

func (k *Keys) judge(msgs []message.Message, i int, own map[scope]int, r *engine.Receipt, repeats *int) message.Code {
	m := &msgs[i]
	used, stored := k.Find(m, m.Key)
	earlier, inBatch := own[scopeOf(m, m.Key)]
	if inBatch {
		used = msgs[earlier]
	}
	switch {
	case stored || inBatch:
		if !Same(&used, m) {
			return message.Conflict
		}
		r.Offset, r.Duplicate, *repeats = used.Offset, true, earlier
		if inBatch {
			r.Offset = 0
		}
		return ""
	case k.Expired(m.First):
		return message.KeyExpired
	case m.Predecessor != "" && !k.stored(m, own):
		return message.OutOfOrder
	}
	own[scopeOf(m, m.Key)] = i
	return ""
}

func (k *Keys) stored(m *message.Message, own map[scope]int) bool {
	_, inBatch := own[scopeOf(m, m.Predecessor)]
	_, stored := k.Find(m, m.Predecessor)
	return inBatch || stored
}

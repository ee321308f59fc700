package local

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/orbitd/orbitd/pkg/message"
)

// A scope names what a key is unique in, and the key: a hash of channel,
// publisher and key. 128 bits of SHA-256, so that nobody can make two that meet.
type scope [16]byte

func scopeOf(m *message.Message, key string) scope {
	h := sha256.New()
	var n [8]byte
	for _, s := range [...]string{string(m.Channel), m.Publisher, key} {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var sum [32]byte
	return scope(h.Sum(sum[:0])[:16])
}

// contentOf identifies what was published under a key.
func contentOf(m *message.Message) uint64 {
	h := sha256.New()
	b := appendString(nil, m.ContentType)
	b = binary.AppendUvarint(b, uint64(len(m.Headers)))
	for _, header := range m.Headers {
		b = appendString(appendString(b, header.Name), header.Value)
	}
	h.Write(b)
	h.Write(m.Data)
	var sum [32]byte
	return binary.LittleEndian.Uint64(h.Sum(sum[:0]))
}

// A stored key.
type keyed struct {
	content uint64
	offset  message.Offset
	time    int64
	memory  bool // of a message in memory: forgotten with it at a restart
}

// A turn is the place of a key in the order of their storing.
type turn struct {
	scope  scope
	offset message.Offset
}

// keyTable remembers keys by age and count. The sequencer owns it.
type keyTable struct {
	window int64 // milliseconds
	most   int

	keys  map[scope]keyed
	order []turn // oldest first, from head on
	head  int
	// dropped is the time of the newest key that was forgotten.
	dropped int64

	now int64
	// behind is, while the clock is behind what it has shown once, the latest that it has:
	// who first tried at a time from now to then did so by another clock, and keys up to
	// then may be forgotten without a trace in dropped. 0: it is not behind.
	behind int64
}

func newKeyTable(window int64, most int) *keyTable {
	return &keyTable{window: window, most: most, keys: map[scope]keyed{}}
}

func (t *keyTable) get(s scope) (keyed, bool) {
	k, ok := t.keys[s]
	return k, ok
}

// put adds a key. One that is there already was forgotten and stored again, when
// the table held others: a restart replays only some of them.
func (t *keyTable) put(s scope, k keyed) {
	t.keys[s] = k
	t.order = append(t.order, turn{s, k.offset})
}

// undo takes back the newest keys, down to a length that len returned.
func (t *keyTable) undo(length int) {
	for _, o := range t.order[t.head+length:] {
		delete(t.keys, o.scope)
	}
	t.order = t.order[:t.head+length]
}

func (t *keyTable) len() int { return len(t.order) - t.head }

// forget drops what is too old or too much.
func (t *keyTable) forget(now int64) {
	for t.head < len(t.order) {
		o := t.order[t.head]
		k := t.keys[o.scope]
		if k.offset == o.offset { // else it has a later turn
			if t.len() <= t.most && k.time >= now-t.window {
				break
			}
			delete(t.keys, o.scope)
			t.dropped = max(t.dropped, k.time)
		}
		t.head++
	}
	if t.head > 1024 && t.head > len(t.order)/2 {
		t.order = append([]turn(nil), t.order[t.head:]...)
		t.head = 0
	}
}

// expired reports whether a publish first tried at first may have been stored under a
// key that was forgotten.
func (t *keyTable) expired(first int64) bool {
	return first != 0 && (first <= t.dropped || first <= t.behind && first > t.now+jump.Milliseconds())
}

// at says that it is now, and has been latest once. A clock that is no longer behind is
// the one by which those before it were tried first.
func (t *keyTable) at(now, latest int64) {
	t.now = now
	switch {
	case now+jump.Milliseconds() < latest:
		t.behind = latest
	case now > t.behind+jump.Milliseconds() && t.behind != 0:
		t.dropped = max(t.dropped, t.behind)
		t.behind = 0
	}
}

// newest returns the greatest time that is in the table.
func (t *keyTable) newest() int64 {
	newest := t.dropped
	for _, k := range t.keys {
		newest = max(newest, k.time)
	}
	return newest
}

// notAfter puts back what the newest keys have of a clock that was wrong.
func (t *keyTable) notAfter(now int64) {
	t.dropped = min(t.dropped, now)
	for _, o := range slices.Backward(t.order[t.head:]) {
		k, ok := t.keys[o.scope]
		if !ok || k.offset != o.offset { // it has a later turn
			continue
		}
		if k.time <= now {
			break
		}
		k.time = now
		t.keys[o.scope] = k
	}
}

// younger has the keys that were stored before a time be younger, by so much, but none than
// that: the clock by which they were stored may have been behind.
func (t *keyTable) younger(before, by int64) {
	if by == 0 {
		return
	}
	for s, k := range t.keys {
		k.time = max(k.time, min(k.time+by, before))
		t.keys[s] = k
	}
}

func (t *keyTable) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t.dropped))
	n := 0
	for _, o := range t.order[t.head:] {
		if k := t.keys[o.scope]; k.offset == o.offset && !k.memory {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, o := range t.order[t.head:] {
		k := t.keys[o.scope]
		if k.offset != o.offset || k.memory {
			continue
		}
		b = append(b, o.scope[:]...)
		b = binary.LittleEndian.AppendUint64(b, k.content)
		b = binary.LittleEndian.AppendUint64(b, uint64(k.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(k.time))
	}
	return b
}

func (t *keyTable) restore(r *reader) {
	t.dropped = int64(r.uvarint())
	n := r.count()
	t.keys = make(map[scope]keyed, n)
	t.order = make([]turn, 0, n)
	for range n {
		b := r.fixed(40)
		if b == nil {
			return
		}
		t.put(scope(b[:16]), keyed{
			binary.LittleEndian.Uint64(b[16:]), message.Offset(binary.LittleEndian.Uint64(b[24:])),
			int64(binary.LittleEndian.Uint64(b[32:])), false,
		})
	}
}

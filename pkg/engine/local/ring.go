package local

import (
	"sort"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// Bounds of a memory channel whose rule has none.
const (
	ringMessages = 1000
	ringBytes    = 4 << 20
)

// A ring holds the newest messages of a memory channel. Engine.mu guards it.
type ring struct {
	messages []message.Message // oldest first, from head on
	head     int
	bytes    int64
	// floor is the newest message that was dropped, and why.
	floor  message.Offset
	reason engine.Reason
}

func (r *ring) live() []message.Message { return r.messages[r.head:] }

func (r *ring) push(m message.Message) {
	r.messages = append(r.messages, m)
	r.bytes += int64(m.Size())
}

// trim drops what the rule does not cover; messages before the time go as expired.
func (r *ring) trim(rule engine.Rule, before int64) {
	most, bytes := rule.Messages, rule.Bytes
	if most == 0 {
		most = ringMessages
	}
	if bytes == 0 {
		bytes = ringBytes
	}
	for len(r.live()) > 0 {
		switch m := &r.live()[0]; {
		case m.Time < before:
			r.drop(engine.Expired)
		case len(r.live()) > most || r.bytes > bytes:
			r.drop(engine.Lost)
		default:
			return
		}
	}
}

func (r *ring) drop(reason engine.Reason) {
	m := &r.messages[r.head]
	r.bytes -= int64(m.Size())
	r.floor, r.reason = m.Offset, reason
	*m = message.Message{}
	r.head++
	if r.head > 64 && r.head > len(r.messages)/2 {
		r.messages = append([]message.Message(nil), r.live()...)
		r.head = 0
	}
}

// after returns the messages with an offset above after and up to through.
func (r *ring) after(after, through message.Offset) []message.Message {
	live := r.live()
	from := sort.Search(len(live), func(i int) bool { return live[i].Offset > after })
	to := sort.Search(len(live), func(i int) bool { return live[i].Offset > through })
	return live[from:max(from, to)]
}

package hub

import (
	"math/bits"
	"sync"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// MaxShards is how many shards a hub can have: one bit each.
const MaxShards = 64

// A Loop is what a shard lives on: reactor.Loop, in tests anything that runs
// posted functions one at a time and in order.
type Loop interface {
	Post(f func())
}

// A Format turns messages into the bytes that one kind of connection sends.
// Formats are compared with ==, so one value must be used for one format.
type Format interface {
	// Append appends one message, framed and complete, to dst.
	Append(dst []byte, m *message.Message, redelivered bool) []byte
}

// A Hub joins an engine's committed batches to the shards that have
// subscribers. Commit is called by the engine alone; all other methods of the
// hub may be called concurrently, and a shard's methods on its loop only.
type Hub struct {
	shards []*Shard

	mu       sync.Mutex
	interest map[channel.Name]uint64 // bit i: shard i has a topic of the channel
}

// New returns a hub with one shard for each loop. There are at most MaxShards.
func New(loops []Loop) *Hub {
	h := &Hub{interest: map[channel.Name]uint64{}}
	for i, loop := range loops[:min(len(loops), MaxShards)] {
		h.shards = append(h.shards, &Shard{hub: h, loop: loop, bit: 1 << i, topics: map[channel.Name][]*topic{}})
	}
	return h
}

// Shards returns the hub's shards, in the order of their loops.
func (h *Hub) Shards() []*Shard { return h.shards }

// Lagging returns how many subscriptions of connected clients were not live a
// second ago: they catch up, or take no more for now.
func (h *Hub) Lagging() (n int) {
	for _, s := range h.shards {
		n += int(s.lagging.Load())
	}
	return n
}

// Commit posts a committed batch, whole and shared, to every shard that has a
// topic for one of its messages. It is an engine's Tail.
func (h *Hub) Commit(b engine.Batch) {
	for wanted := h.wanted(b.Messages); wanted != 0; wanted &= wanted - 1 {
		s := h.shards[bits.TrailingZeros64(wanted)]
		s.loop.Post(func() { s.take(b) })
	}
}

// wanted returns the bits of all shards that want one of the messages.
func (h *Hub) wanted(messages []message.Message) (shards uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range messages {
		shards |= h.interest[messages[i].Channel]
	}
	return shards
}

func (h *Hub) setInterest(name channel.Name, bit uint64, wanted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := h.interest[name] &^ bit
	if wanted {
		set |= bit
	}
	if set == 0 {
		delete(h.interest, name)
	} else {
		h.interest[name] = set
	}
}

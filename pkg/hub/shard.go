package hub

import (
	"slices"
	"sync/atomic"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Shard owns the topics and subscriptions of one loop. All of its methods are
// called on that loop.
type Shard struct {
	hub    *Hub
	loop   Loop
	bit    uint64
	topics map[channel.Name][]*topic // of a channel: one for each format in use
	dirty  []*topic                  // have messages that their live subscribers lack
	served int                       // of dirty: how many a round is through with
	made   int                       // topics, ever
	// members and lagging are how many subscriptions there were at the last tick, and
	// how many of these were not live; read by anybody.
	members, lagging atomic.Int64
}

// A topic is one channel in one format, as its subscribers on one shard need it.
type topic struct {
	name    channel.Name
	format  Format
	members int             // subscriptions, live or not
	live    []*Subscription // in no order; Subscription.slot is the index
	// through is how far the shard has taken the channel in: all its messages
	// up to here were in the ring or came before the topic did.
	through message.Offset
	ring    ring
	dirty   bool // stands in Shard.dirty
	fresh   int  // if dirty: ring.ends[fresh:] came in this turn
	ticks   int  // since the ring aged
}

// A Subscriber is what a subscription delivers to: a session.
type Subscriber interface {
	// Deliver offers the next messages of a live subscription. Where it returns
	// false it took none of them, and the subscription is live no more: it
	// catches up by Backlog, or by reading the engine, and goes live again. It
	// may join and leave topics.
	Deliver(s *Subscription, run Run) bool
}

// A Subscription is one subscriber's interest in one topic. Its maker embeds or
// holds it; the hub owns the unexported fields.
type Subscription struct {
	Subscriber Subscriber
	// Sent is the last offset up to which everything was delivered. Its owner
	// moves it while the subscription is not live, the hub while it is.
	Sent message.Offset

	topic *topic
	slot  int32 // in topic.live, or -1
}

// Join makes s a member of a channel's topic: from the moment it returns, what
// is committed reaches the topic. s is not live yet. tip must give where the
// channel ends *after* the interest is known; it is called once, if the topic
// is new.
func (s *Shard) Join(sub *Subscription, name channel.Name, format Format, tip func() (engine.Tip, bool)) {
	t := s.find(name, format)
	if t == nil {
		s.hub.setInterest(name, s.bit, true)
		tip, ok := tip()
		s.made++ // so that not all topics age at the same tick
		t = &topic{name: name, format: format, through: tip.Visible.Offset, ticks: s.made % ageTicks}
		t.ring.floor = t.through
		if ok && tip.Last > 0 { // of a channel that is not known, there may have been messages
			t.ring.floor = tip.Last
		}
		s.topics[name] = append(s.topics[name], t)
	}
	t.members++
	sub.topic, sub.slot = t, -1
}

// Leave ends a membership. It is a no-op for a subscription that has none.
func (s *Shard) Leave(sub *Subscription) {
	t := sub.topic
	if t == nil {
		return
	}
	s.Pause(sub)
	sub.topic = nil
	if t.members--; t.members > 0 {
		return
	}
	rest := slices.DeleteFunc(s.topics[t.name], func(other *topic) bool { return other == t })
	if len(rest) > 0 {
		s.topics[t.name] = rest
		return
	}
	delete(s.topics, t.name)
	s.hub.setInterest(t.name, s.bit, false)
}

func (s *Shard) find(name channel.Name, format Format) *topic {
	for _, t := range s.topics[name] {
		if t.format == format {
			return t
		}
	}
	return nil
}

// Joined reports whether sub is a member of a topic.
func (sub *Subscription) Joined() bool { return sub.topic != nil }

// Channel returns the name of the channel of whose topic sub is a member.
func (sub *Subscription) Channel() channel.Name { return sub.topic.name }

// Live reports whether sub is handed messages as they commit.
func (sub *Subscription) Live() bool { return sub.topic != nil && sub.slot >= 0 }

// Through is how far the shard has taken sub's channel in.
func (sub *Subscription) Through() message.Offset { return sub.topic.through }

// Newest is the last message of sub's channel that the shard has taken in, or
// where its memory begins.
func (sub *Subscription) Newest() message.Offset { return sub.topic.last() }

// Resume makes a subscription live if it has all that the shard has taken in,
// and reports whether it is.
func (s *Shard) Resume(sub *Subscription) bool {
	t := sub.topic
	switch {
	case sub.slot >= 0:
		return true
	case sub.Sent < t.last():
		return false
	}
	sub.slot = int32(len(t.live))
	t.live = append(t.live, sub)
	return true
}

// last returns the offset that a subscriber must have to miss nothing.
func (t *topic) last() message.Offset {
	if n := len(t.ring.ends); n > 0 {
		return t.ring.ends[n-1].Offset
	}
	return t.ring.floor
}

// Pause ends being live, for a subscriber that takes no more for now.
func (s *Shard) Pause(sub *Subscription) {
	if sub.slot < 0 {
		return
	}
	t := sub.topic
	last := t.live[len(t.live)-1]
	t.live[sub.slot] = last
	last.slot = sub.slot
	t.live[len(t.live)-1] = nil
	t.live = t.live[:len(t.live)-1]
	sub.slot = -1
}

// Backlog returns the messages that follow sub.Sent, within the limits but at
// least one, if the shard has them in memory. An empty run with ok says that
// there are none: sub can go live.
func (s *Shard) Backlog(sub *Subscription, messages, bytes int) (run Run, ok bool) {
	r := &sub.topic.ring
	if sub.Sent < r.floor {
		return Run{}, false
	}
	i := r.after(sub.Sent)
	if i == len(r.ends) {
		return Run{}, true
	}
	return r.run(i, messages, bytes), true
}

// Fill gives the shard a page of the log that it did not have: run is framed in
// sub's format and holds all messages of sub's channel after one offset, up to
// another. Where that reaches what the shard has in memory, whoever comes next
// gets it from there: of the many that come back at once, one reads the log. A
// channel with one subscriber keeps nothing of it: there may be many of those.
func (s *Shard) Fill(sub *Subscription, after message.Offset, run Run, through message.Offset) {
	t := sub.topic
	if t.members < 2 || through < t.ring.floor {
		return
	}
	added := t.ring.fill(after, run)
	if t.dirty {
		t.fresh += added
	}
}

// take brings a committed batch into the topics that want it.
func (s *Shard) take(b engine.Batch) {
	for i := range b.Messages {
		m := &b.Messages[i]
		for _, t := range s.topics[m.Channel] {
			s.add(t, m)
		}
	}
}

func (s *Shard) add(t *topic, m *message.Message) {
	if m.Offset <= t.through {
		return // was visible before the topic was there
	}
	t.through = m.Offset
	if !t.dirty {
		t.dirty = true
		t.fresh = len(t.ring.ends)
		s.dirty = append(s.dirty, t)
	}
	t.fresh = t.ring.add(t.format, m, t.fresh)
}

// Round hands everything that came in this turn to the live subscribers: each
// gets all that is new on a channel in one run. Where a subscriber panics, the
// next round goes on with the next topic.
func (s *Shard) Round() {
	for s.served < len(s.dirty) {
		t := s.dirty[s.served]
		s.dirty[s.served] = nil
		s.served++
		t.dirty = false
		if len(t.live) > 0 {
			s.deliver(t)
		}
	}
	s.dirty, s.served = s.dirty[:0], 0
}

func (s *Shard) deliver(t *topic) {
	r := &t.ring
	run := r.run(t.fresh, len(r.ends), len(r.buf))
	first := r.ends[t.fresh].Offset
	// Backwards, for a subscriber that takes nothing leaves the slice, as any
	// other may meanwhile: the last one takes its place, and has been served.
	for i := len(t.live) - 1; i >= 0; i = min(i, len(t.live)) - 1 {
		sub := t.live[i]
		theirs := run
		if sub.Sent >= first { // served, or a read of the engine was ahead of this shard
			next := r.after(sub.Sent)
			if next == len(r.ends) {
				continue
			}
			theirs = r.run(next, len(r.ends), len(r.buf))
		}
		if sub.Subscriber.Deliver(sub, theirs) {
			sub.Sent = theirs.Last()
		} else {
			s.Pause(sub)
		}
	}
}

// ageTicks is how many ticks pass until a topic gives back the frames that it
// held that long: whoever falls behind further reads the engine. So the memory
// of all topics together is that of half a minute's traffic at most, however
// many there are.
const ageTicks = 15

// Tick gives back the memory of frames that have grown old, and counts who lags.
// It is called about once a second.
func (s *Shard) Tick() {
	members, lagging := 0, 0
	for _, topics := range s.topics {
		for _, t := range topics {
			members += t.members
			lagging += t.members - len(t.live)
			if t.ticks++; t.ticks >= ageTicks {
				t.ticks = 0
				t.age()
			}
		}
	}
	s.members.Store(int64(members))
	s.lagging.Store(int64(lagging))
}

func (t *topic) age() {
	keep := len(t.ring.ends)
	if t.dirty {
		keep = t.fresh
	}
	t.fresh = t.ring.age(keep)
}

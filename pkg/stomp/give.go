package stomp

import (
	"context"
	"slices"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// spread is how many windows of one subscription a group may have between the
// first message that is not acknowledged and the last that was given out.
const spread = 4

// A member is a consumer of a group, as the group knows it.
type member struct {
	sub    *subscription // of another loop: only for posts
	offers offers
	given  volume // since it is a member
	out    []handed
}

// A volume is of messages that a member was given.
type volume struct{ messages, bytes int }

// Offers are what a member has room for. got is what it had been given then: what is
// on its way takes room as well.
type offers struct {
	room volume
	idle bool // nothing is unacknowledged: one message goes through, however large
	got  volume
}

// room is how many messages and bytes a member may be given now.
func (m *member) room() volume {
	o := &m.offers
	return volume{o.room.messages - (m.given.messages - o.got.messages), o.room.bytes - (m.given.bytes - o.got.bytes)}
}

// takes reports whether a member may be given a message of a size.
func (m *member) takes(size int) bool {
	room := m.room()
	return room.messages > 0 && (room.bytes >= size || m.offers.idle && m.given == m.offers.got)
}

// handed is a message on its way to a member.
type handed struct {
	message message.Message
	again   bool
	gap     string
}

// A wake is the format of who only wants to know that there is something.
type wake struct{}

// Append appends some bytes for a message, as rings are bounded by bytes.
func (wake) Append(dst []byte, _ *message.Message, _ bool) []byte { return append(dst, "message;"...) }

// Deliver wakes the group; see hub.Subscriber. It reads the log for what it gives.
func (g *group) Deliver(*hub.Subscription, hub.Run) bool {
	g.part.woken = append(g.part.woken, g)
	return false
}

// pump gives out what members take: first what comes again.
func (g *group) pump() {
	if g.reading || !g.ready || g.over {
		return
	}
	limit := engine.Limit{}
	for _, m := range g.members {
		if m.takes(1) {
			room := m.room()
			limit.Messages += room.messages
			limit.Bytes += max(room.bytes, 1)
		}
	}
	limit.Bytes = min(limit.Bytes, readBytes)
	if limit.Messages = min(limit.Messages, engine.DefaultLimit.Messages); limit.Messages == 0 {
		return
	}
	if len(g.again) > 0 {
		first := g.again[0]
		at := message.Position{Epoch: g.part.server.broker.Engine().Status().Epoch, Offset: first - 1}
		g.read(at, limit, func(b engine.Batch) { g.repeat(b, first) })
		return
	}
	limit.Messages = min(limit.Messages, spread*g.part.server.limits.Window-len(g.window.open))
	if limit.Messages > 0 && !g.Live() {
		g.read(message.Position{Epoch: g.epoch, Offset: g.Sent}, limit, g.arrived)
	}
}

func (g *group) read(after message.Position, limit engine.Limit, then func(engine.Batch)) {
	g.reading = true
	b := g.part.server.broker
	b.Go(func() {
		batch, err := b.Read(context.Background(), g.name, after, limit)
		g.part.loop.Post(func() {
			g.reading = false
			switch {
			case g.over:
			case err != nil:
				g.part.server.log.WithError(err).WithField("channel", g.name).Error("cannot read the log for a group")
				g.end(err)
			default:
				then(batch)
				g.send()
			}
		})
	})
}

// arrived gives out the next page of the log, as far as members take it.
func (g *group) arrived(b engine.Batch) {
	g.epoch = b.Epoch
	for _, gap := range b.Gaps {
		g.missed(gap)
	}
	for i := range b.Messages {
		m := &b.Messages[i]
		if !g.window.wasEarly(m.Offset) {
			before := m.Offset - 1
			if g.gap != "" {
				before = g.gapFrom
			}
			if !g.give(m, m.Offset <= g.window.past) {
				return
			}
			g.window.add(delivery{offset: m.Offset, before: before})
		}
		g.Sent = m.Offset
	}
	g.Sent = max(g.Sent, b.Through)
	g.window.passed(g.Sent)
	if !b.More && g.Sent >= g.Newest() {
		g.Sent = max(g.Sent, g.Through())
		g.part.shard.Resume(&g.Subscription)
	}
	g.pump()
}

func (g *group) missed(gap engine.Gap) {
	if g.gap == "" {
		g.gapFrom = gap.After
	}
	g.gap = gapText(g.gapFrom, &gap)
	if g.Sent = gap.To; gap.Reason == engine.History {
		g.gapFrom = gap.To
	}
}

// repeat gives out what comes again, of a page of the log that begins with the
// message first. What is not there any more, as retention has removed it, is as good
// as acknowledged; what was given back since, and is before it, has its turn next.
func (g *group) repeat(b engine.Batch, first message.Offset) {
	at, _ := slices.BinarySearch(g.again, first)
	for i := range b.Messages {
		m := &b.Messages[i]
		for at < len(g.again) && g.again[at] < m.Offset {
			g.gone(at)
		}
		if at == len(g.again) || g.again[at] != m.Offset {
			continue
		}
		if !g.give(m, true) {
			return
		}
		g.again = slices.Delete(g.again, at, at+1)
	}
	for at < len(g.again) && (g.again[at] <= b.Through || !b.More) {
		g.gone(at)
	}
	g.pump()
}

func (g *group) gone(at int) {
	g.settle(g.again[at])
	g.again = slices.Delete(g.again, at, at+1)
}

// settle enters that a message is acknowledged, or as good as that.
func (g *group) settle(offset message.Offset) {
	if d := g.window.at(offset); d != nil {
		g.window.settle(d)
		g.window.advance()
		g.record.changed(false)
	}
}

// give gives a message to the member that has most room, and reports whether there
// was any. It goes on its way with the next send.
func (g *group) give(m *message.Message, again bool) bool {
	var best *member
	for _, candidate := range g.members {
		if candidate.takes(m.Size()) && (best == nil || candidate.room().messages > best.room().messages) {
			best = candidate
		}
	}
	if best == nil {
		return false
	}
	best.given.messages++
	best.given.bytes += m.Size()
	g.with[m.Offset] = best
	best.out = append(best.out, handed{*m, again, g.gap})
	g.gap = ""
	return true
}

// send sends what was given.
func (g *group) send() {
	for _, m := range g.members {
		if out := m.out; len(out) > 0 {
			m.out = nil
			m.sub.conn.part.loop.Post(func() { m.sub.handed(out) })
		}
	}
}

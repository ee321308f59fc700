package stomp

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// A share is what makes a subscription a consumer of a group: its messages are given
// to it, and what becomes of them is reported, once a turn.
type share struct {
	record  record // not claimed: what the group's is made of
	group   *group // nil until it is a member
	got     volume
	acked   []message.Offset
	refused []refusal
	listed  bool // in part.shares
}

// newShare returns the share of a consumer of a group. What it is called belongs to
// the consumers' user and the channel.
func (c *conn) newShare(name string, ch channel.Name, m mode) (*share, error) {
	realm, user := c.who.Owner()
	switch {
	case user == "":
		return nil, message.Errorf(message.Unauthorized, "a group belongs to a user; log in first")
	case len(name) > maxName:
		return nil, message.Errorf(message.BadRequest, "the name of a group has at most %d bytes", maxName)
	case m != individual:
		return nil, message.Errorf(message.BadRequest, "a consumer of a group acknowledges each message: ack:client-individual (STOMP 1.1 or 1.2)")
	}
	return &share{record: record{
		part: c.part, kind: groupKind, channel: ch, name: name,
		session: engine.Session{
			Key: recordKey(groupKind, realm, user, string(ch), name), Realm: realm, User: user,
			Name: "group/" + name, TTL: c.server().limits.DurableTTL,
		},
	}}, nil
}

// joinGroup begins the subscription of a consumer. All other frames wait until the
// group is stored.
func (c *conn) joinGroup(s *subscription, start message.Position, given bool, receipt *string) {
	c.busy = true
	c.server().joinGroup(s, s.share.record, start, given, func(g *group, err error) {
		if s.share.group = g; s.over {
			s.leaveGroup()
			return
		}
		if err == nil { // rights may have changed since
			err = c.server().broker.May(c.who, acl.Subscribe, s.name)
		}
		c.begun(s, receipt, err)
	})
}

// leaveGroup gives back what is not acknowledged, behind a last report.
func (s *subscription) leaveGroup() {
	if g := s.share.group; g != nil {
		last := report{acked: s.share.acked, refused: s.share.refused}
		g.part.loop.Post(func() {
			g.report(s, last)
			g.leave(s)
		})
	}
}

// handed takes messages that the group has given to s.
func (s *subscription) handed(all []handed) {
	if s.over {
		return // the group takes them back
	}
	format := s.format()
	for i := range all {
		h := &all[i]
		m := &h.message
		s.share.got.messages++
		s.share.got.bytes += m.Size()
		shared := s.conn.part.memory.Cut(func(dst []byte) []byte { return format.Append(dst, m, false) })
		s.window.insert(delivery{offset: m.Offset, size: len(shared)})
		s.conn.owes(len(shared))
		s.Sent = max(s.Sent, m.Offset)
		if h.gap != "" {
			s.gap = frame.AppendHeader(nil, s.conn.version(), "gap", h.gap)
		}
		s.one(m.Offset, shared, h.again)
	}
}

// handBack says that the client has refused a message, which is the group's again.
func (s *subscription) handBack(offset message.Offset, reason string) {
	for d := range s.window.affected(offset, true) {
		d.done = true
		s.conn.paid(d.size)
		s.share.refused = append(s.share.refused, refusal{offset, reason})
	}
	s.advance()
	s.conn.resume()
}

// tell has the group told, at the end of the turn, what has become of messages and
// how much room there is.
func (s *subscription) tell() {
	if !s.share.listed && s.share.group != nil {
		s.share.listed = true
		s.conn.part.shares = append(s.conn.part.shares, s)
	}
}

// report tells it.
func (s *subscription) report() {
	s.share.listed = false
	g := s.share.group
	if s.over {
		return
	}
	r := report{acked: s.share.acked, refused: s.share.refused, offers: offers{idle: s.conn.unacked == 0, got: s.share.got}}
	s.share.acked, s.share.refused = nil, nil
	if !s.conn.blocked {
		r.offers.room.messages, r.offers.room.bytes = s.room()
	}
	g.part.loop.Post(func() { g.report(s, r) })
}

// insert enters a delivery in its place.
func (w *window) insert(d delivery) {
	w.open = slices.Insert(w.open, w.upTo(d.offset), d)
}

// purge lets go of all that is acknowledged: the cursor is the group's.
func (w *window) purge() {
	w.open = slices.DeleteFunc(w.open, func(d delivery) bool { return d.done })
}

// forgetGroup ends the group of a consumer, also for the others.
func (c *conn) forgetGroup(s *subscription, receipt *string) {
	dropped := c.dropping(receipt)
	g, loop := s.share.group, c.part.loop
	g.part.loop.Post(func() {
		if g.over { // by another's wish
			loop.Post(func() { dropped(nil) })
			return
		}
		g.drop(s, func(err error) { loop.Post(func() { dropped(err) }) })
	})
}

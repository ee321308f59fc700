package stomp

import (
	"bytes"
	"slices"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A commit stores what a transaction has as one: its messages, and what it acknowledges of
// durable subscriptions and groups. Until it is handed to the engine, no more frames are
// taken: what they publish would be stored before it. It is owned by its connection's loop.
type commit struct {
	conn    *conn
	t       *transaction
	receipt *string

	gone      map[*subscription]offsets // of durable subscriptions
	claims    []*claim                  // still to be held, by key: so no two commits wait for each other
	held      []*claim
	sessions  []engine.Session
	submitted bool
}

// A claim is what a commit acknowledges of a group: each message for one consumer. While
// the group holds it, it is the group's.
type claim struct {
	group *group
	by    map[message.Offset]*subscription
	took  offsets // what they had of it
}

// commit begins the commit of a transaction.
func (c *conn) commit(t *transaction, receipt *string) {
	c.publishing++
	k := &commit{conn: c, t: t, receipt: receipt}
	k.acknowledged()
	k.next()
	c.committing = !k.submitted
}

// acknowledged looks up what the transaction acknowledges that is to be stored.
func (k *commit) acknowledged() {
	k.gone = map[*subscription]offsets{}
	groups := map[*group]*claim{}
	for _, a := range k.t.acks {
		s := k.conn.subs.byNumber(a.sub)
		if s == nil || a.nack {
			continue
		}
		for d := range s.window.affected(a.offset, s.mode == individual) {
			switch {
			case s.share != nil:
				g := s.share.group
				if groups[g] == nil {
					groups[g] = &claim{group: g, by: map[message.Offset]*subscription{}, took: offsets{}}
					k.claims = append(k.claims, groups[g])
				}
				groups[g].by[d.offset] = s
			case s.record != nil:
				if k.gone[s] == nil {
					k.gone[s] = offsets{}
				}
				k.gone[s][d.offset] = true
			}
		}
	}
	slices.SortFunc(k.claims, func(a, b *claim) int {
		return bytes.Compare(a.group.record.session.Key[:], b.group.record.session.Key[:])
	})
}

// next has the next group hold what is acknowledged of it, and behind the last stores all.
func (k *commit) next() {
	if len(k.claims) == 0 {
		k.submit()
		return
	}
	c, loop := k.claims[0], k.conn.part.loop
	k.claims = k.claims[1:]
	c.group.part.loop.Post(func() {
		c.group.hold(c, func(s engine.Session, ok bool) {
			loop.Post(func() {
				if !ok {
					k.refused()
					return
				}
				k.held, k.sessions = append(k.held, c), append(k.sessions, s)
				k.next()
			})
		})
	})
}

// submit stores all, when nothing of the durable subscriptions is being stored.
func (k *commit) submit() {
	var records []*record
	for s := range k.gone {
		records = append(records, s.record)
	}
	exclusively(records, func(ok bool) {
		if !ok {
			k.refused()
			return
		}
		c := k.conn
		for s, offsets := range k.gone {
			k.sessions = append(k.sessions, s.record.saving(offsets))
		}
		c.server().broker.PublishSaving(c.who, k.t.messages, k.sessions, func(_ []engine.Receipt, err error) {
			c.part.loop.Post(func() { k.done(err) })
		})
		if k.submitted = true; c.committing {
			c.committing = false
			c.proceed()
		}
	})
}

// refused ends a commit of what its connection does not have any more: nothing of it is
// stored, and whoever has it next acknowledges it.
func (k *commit) refused() {
	k.gone = nil
	k.done(message.Errorf(message.Conflict, "a subscription of which the transaction acknowledges messages has ended"))
}

// done goes on behind a commit. What was acknowledged with it counts for the last word of
// a record, too, if the connection has ended meanwhile.
func (k *commit) done(err error) {
	for s, offsets := range k.gone {
		for offset := range offsets {
			if d := s.window.at(offset); d != nil && err == nil {
				s.settle(d)
			}
		}
		s.window.advance()
		s.record.saved(err)
	}
	for _, c := range k.held {
		c.group.part.loop.Post(func() { c.group.release(c, err) })
	}
	for i := range k.t.acks {
		if err == nil {
			k.conn.settle(&k.t.acks[i])
		}
	}
	k.conn.published(k.receipt, err)
}

// hold takes what is acknowledged from its consumers, and calls then, when nothing of the
// group is being stored, with what is to be stored: until release nothing else of it is.
// ok is false where the group, or one of the consumers, is no more.
func (g *group) hold(c *claim, then func(s engine.Session, ok bool)) {
	switch {
	case g.over || !g.haveAll(c.by):
		then(engine.Session{}, false)
	case g.record.storing:
		g.record.queued = append(g.record.queued, func() { g.hold(c, then) })
	default:
		for offset, sub := range c.by {
			if m := g.with[offset]; m != nil && m.sub == sub { // else it has acknowledged it before
				delete(g.with, offset)
				c.took[offset] = true
			}
		}
		then(g.record.saving(c.took), true)
	}
}

// haveAll reports whether all of these are members.
func (g *group) haveAll(by map[message.Offset]*subscription) bool {
	for _, sub := range by {
		if !slices.ContainsFunc(g.members, func(m *member) bool { return m.sub == sub }) {
			return false
		}
	}
	return true
}

// release ends hold: what was held is acknowledged, or for anybody where it was not stored.
func (g *group) release(c *claim, err error) {
	for offset := range c.took {
		if err != nil {
			g.back(offset)
		} else {
			g.settle(offset)
		}
	}
	g.record.saved(err)
	g.pump()
}

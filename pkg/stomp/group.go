package stomp

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A group shares a channel's messages among its members, which may be on other
// loops: each message to one of them. It is owned by the loop of its first member;
// members say by posts what they take, acknowledge and refuse, and are given
// messages by posts. It ends with its last member, and what is stored of it waits
// for the next.
type group struct {
	hub.Subscription // Sent: up to where everything was given out. It is woken by it alone
	record           *record
	part             *part
	name             channel.Name
	undertaker       undertaker

	epoch   message.Epoch // of Sent
	gap     string        // to be told with the next message
	gapFrom message.Offset
	window  window
	again   []message.Offset // given out before, and with nobody; by offset
	with    map[message.Offset]*member

	members []*member
	waiting []func(error) // of members, for ready
	loading bool
	ready   bool // what is stored is known, and is the group's
	over    bool
	reading bool
}

// joinGroup has sub be a member of the group of the record's key, which is made if
// there is none, and calls done on sub's loop. A new group begins at start.
func (s *Server) joinGroup(sub *subscription, r record, start message.Position, given bool, done func(*group, error)) {
	s.mu.Lock()
	g := s.groups[r.session.Key]
	if g == nil {
		g = newGroup(r)
		s.groups[r.session.Key] = g
	}
	s.mu.Unlock()
	mine := sub.conn.part.loop
	g.part.loop.Post(func() {
		if g.over { // it ended while this was on its way
			mine.Post(func() { s.joinGroup(sub, r, start, given, done) })
			return
		}
		g.members = append(g.members, &member{sub: sub})
		answer := func(err error) { mine.Post(func() { done(g, err) }) }
		if g.ready {
			answer(nil)
			return
		}
		g.waiting = append(g.waiting, answer)
		if !g.loading {
			g.loading = true
			g.load(start, given)
		}
	})
}

func newGroup(r record) *group {
	g := &group{record: &r, part: r.part, name: r.channel, with: map[message.Offset]*member{}}
	g.record.owner = g
	g.undertaker = undertaker{part: g.part, name: g.name, window: &g.window, record: g.record, buried: g.buried}
	g.Subscriber = g
	return g
}

// load takes up what is stored, or begins at start.
func (g *group) load(start message.Position, given bool) {
	_ = g.record.claim(func() { // a group of another channel has another key
		g.record.load(func(stored engine.Session, found bool, err error) {
			switch {
			case g.over:
				return
			case err != nil:
				g.end(err)
				return
			}
			if found {
				start, given = g.window.restore(&stored.Subscriptions[0], g.part.server.broker.Engine().Status().Visible), true
			}
			g.join(start, given)
			g.record.loaded = true
			g.record.save(nil, nil, g.begin)
		})
	})
}

// begin answers those who wait for the group to be stored.
func (g *group) begin(err error) {
	switch {
	case g.over:
		return
	case err != nil:
		g.end(err)
		return
	}
	g.ready = true
	for _, answer := range g.waiting {
		answer(nil)
	}
	g.waiting = nil
}

func (g *group) join(start message.Position, given bool) {
	status := g.part.server.broker.Engine()
	tip := func() (engine.Tip, bool) { return status.Tip(g.name) }
	g.part.shard.Join(&g.Subscription, g.name, wake{}, tip)
	now, _ := tip()
	g.Sent, g.epoch = now.Visible.Offset, now.Visible.Epoch
	if given {
		g.Sent, g.epoch = start.Offset, start.Epoch
	}
}

// stored is recordOwner's.
func (g *group) stored(gone offsets, last bool) engine.Subscription {
	at := message.Position{Epoch: g.epoch, Offset: g.Sent}
	if g.gap != "" {
		at.Offset = min(at.Offset, g.gapFrom)
	}
	return engine.Subscription{
		Channel: g.name, ID: g.record.name, Cursor: g.window.cursor(at, gone), Options: g.window.appendOptions(nil, g.Sent, last, gone),
	}
}

// displaced is recordOwner's.
func (g *group) displaced() { g.end(g.ended()) }

// ended is what its consumers are told.
func (g *group) ended() error {
	return message.Errorf(message.Conflict, "the group %.40q was ended", g.record.name)
}

// end ends the group, and with an error the connections of those who are left.
func (g *group) end(err error) {
	if g.over {
		return
	}
	g.over = true
	s := g.part.server
	s.mu.Lock()
	if s.groups[g.record.session.Key] == g {
		delete(s.groups, g.record.session.Key)
	}
	s.mu.Unlock()
	g.undertaker.stop()
	g.record.release()
	g.part.shard.Leave(&g.Subscription)
	for _, answer := range g.waiting {
		answer(err)
	}
	for _, m := range g.members {
		m.sub.conn.part.loop.Post(func() {
			if !m.sub.over {
				m.sub.conn.fail(err, nil)
			}
		})
	}
	g.members, g.waiting = nil, nil
}

// leave takes a member out. What it has not acknowledged is for the others.
func (g *group) leave(sub *subscription) {
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.sub == sub })
	if i < 0 {
		return
	}
	m := g.members[i]
	g.members = slices.Delete(g.members, i, i+1)
	for offset, with := range g.with {
		if with == m {
			g.back(offset)
		}
	}
	if len(g.members) == 0 {
		g.end(nil)
		return
	}
	g.pump()
}

// back takes a message from the member that has it, for anybody.
func (g *group) back(offset message.Offset) {
	delete(g.with, offset)
	at, _ := slices.BinarySearch(g.again, offset)
	g.again = slices.Insert(g.again, at, offset)
}

// drop ends the group and what is stored of it, at the wish of one member, and calls
// done.
func (g *group) drop(sub *subscription, done func(error)) {
	g.members = slices.DeleteFunc(g.members, func(m *member) bool { return m.sub == sub })
	g.record.drop(done)
	g.end(g.ended())
}

// A report is what a member says since its last: what has become of messages, and
// what it takes now.
type report struct {
	acked   []message.Offset
	refused []refusal
	offers  offers
}

type refusal struct {
	offset message.Offset
	reason string
}

func (g *group) report(sub *subscription, r report) {
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.sub == sub })
	if i < 0 {
		return
	}
	m := g.members[i]
	m.offers = r.offers
	for _, offset := range r.acked {
		if g.with[offset] == m {
			delete(g.with, offset)
			g.settle(offset)
		}
	}
	for _, f := range r.refused {
		if g.with[f.offset] == m {
			g.refused(f)
		}
	}
	g.pump()
}

func (g *group) refused(f refusal) {
	times := g.window.refuse(f.offset)
	g.record.changed(true)
	if _, ok := g.name.Dead(); ok && times >= g.part.server.limits.Deliveries {
		delete(g.with, f.offset)
		g.undertaker.take(grave{f.offset, times, f.reason})
		return
	}
	g.back(f.offset)
}

// buried is the undertaker's word about a message.
func (g *group) buried(offset message.Offset, err error) {
	if err != nil {
		g.back(offset)
	} else {
		g.settle(offset)
	}
	g.pump()
}

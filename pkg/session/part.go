package session

import (
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Part is the sessions of one loop. All of it is owned by that loop.
type Part struct {
	manager *Manager
	loop    Loop
	shard   *hub.Shard
	index   int

	sessions []*Session      // in no order; Session.index is the place
	behind   []*subscription // fell behind in this turn: to be served after the round
	served   int             // of these
	feeds    []*feed         // were handed messages in this turn
	settled  int             // of these
	moves    []engine.CursorMove
	saving   map[*Session][]func() // of which something is being stored; the saves that wait for it
	count    counted
	tally    tally
}

func newPart(m *Manager, loop Loop, shard *hub.Shard, index int) *Part {
	p := &Part{manager: m, loop: loop, shard: shard, index: index, saving: map[*Session][]func(){}}
	loop.OnTurn(p.turn)
	loop.OnTick(p.tick)
	return p
}

// Index returns the number of the part's loop.
func (p *Part) Index() int { return p.index }

// Manager returns the manager that the part belongs to.
func (p *Part) Manager() *Manager { return p.manager }

// join makes sub a member of a channel's topic; see subscription.join.
func (p *Part) join(sub *hub.Subscription, name channel.Name, format hub.Format) message.Position {
	tip := func() (engine.Tip, bool) { return p.manager.broker.Engine().Tip(name) }
	p.shard.Join(sub, name, format, tip)
	now, _ := tip()
	return now.Visible
}

// turn ends a turn of the loop: what committed goes to whoever is live, who
// could not take it catches up as far as its window goes, and cursors that
// moved are handed to the engine.
func (p *Part) turn() {
	p.shard.Round()
	for p.settled < len(p.feeds) { // a turn after a panic goes on behind it
		f := p.feeds[p.settled]
		p.feeds[p.settled] = nil
		p.settled++
		f.settle()
	}
	p.feeds, p.settled = p.feeds[:0], 0
	for p.served < len(p.behind) {
		sub := p.behind[p.served]
		p.behind[p.served] = nil
		p.served++
		sub.pump()
	}
	p.behind, p.served = p.behind[:0], 0
	if len(p.moves) > 0 {
		p.manager.broker.Engine().MoveCursors(p.moves)
		p.moves = nil
	}
}

func (p *Part) tick(now time.Time) {
	p.shard.Tick()
	for i := len(p.sessions) - 1; i >= 0; i-- { // backwards: one that ends is replaced by the last
		p.sessions[i].tick(now)
	}
	p.publish()
}

// isSaving reports whether something of s is being stored.
func (p *Part) isSaving(s *Session) bool {
	_, saving := p.saving[s]
	return saving
}

// drop takes out a session that has ended.
func (p *Part) drop(s *Session) {
	s.lowerPlaces(broker.NoPlace)
	end := len(p.sessions) - 1
	last := p.sessions[end]
	p.sessions[s.index], last.index = last, s.index
	p.sessions[end] = nil
	p.sessions = p.sessions[:end]
	s.index = removed
}

// recheck has the connected sessions judged again that are concerned.
func (p *Part) recheck(concerned func(*broker.Who) bool, c *countdown) {
	for _, s := range p.sessions {
		if s.conn == nil || !concerned(s.who) {
			continue // without a client: judged when it comes back
		}
		c.add(1)
		s.recheck(c.done)
	}
}

// connected returns who the clients are that have proven something.
func (p *Part) connected() (all []*broker.Who) {
	for _, s := range p.sessions {
		if s.conn != nil && s.who != nil {
			all = append(all, s.who)
		}
	}
	return all
}

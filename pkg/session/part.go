package session

import (
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
)

// A Part is the sessions of one loop. All of it is owned by that loop.
type Part struct {
	manager *Manager
	loop    Loop
	shard   *hub.Shard
	index   int

	sessions map[*Session]struct{}
	behind   []*subscription // fell behind in this turn: to be served after the round
	moves    []engine.CursorMove
}

func newPart(m *Manager, loop Loop, shard *hub.Shard, index int) *Part {
	p := &Part{manager: m, loop: loop, shard: shard, index: index, sessions: map[*Session]struct{}{}}
	loop.OnTurn(p.turn)
	loop.OnTick(p.tick)
	return p
}

// Index returns the number of the part's loop.
func (p *Part) Index() int { return p.index }

// Manager returns the manager that the part belongs to.
func (p *Part) Manager() *Manager { return p.manager }

// turn ends a turn of the loop: what committed goes to whoever is live, who
// could not take it catches up as far as its window goes, and cursors that
// moved are handed to the engine.
func (p *Part) turn() {
	p.shard.Round()
	for i, sub := range p.behind {
		p.behind[i] = nil
		sub.pump()
	}
	p.behind = p.behind[:0]
	if len(p.moves) > 0 {
		p.manager.broker.Engine().MoveCursors(p.moves)
		p.moves = nil
	}
}

func (p *Part) tick(now time.Time) {
	p.shard.Tick()
	for s := range p.sessions {
		s.tick(now)
	}
}

// recheck has all connected sessions judged again; wait ends when that is done.
func (p *Part) recheck(wait *sync.WaitGroup) {
	for s := range p.sessions {
		if s.conn == nil {
			continue // judged when the client comes back
		}
		wait.Add(1)
		s.recheck(wait.Done)
	}
}

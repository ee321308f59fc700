package stomp

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/census"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// Limits bound one connection. Zero fields take the defaults.
type Limits struct {
	LoginTimeout  time.Duration // until CONNECT: 10 s
	Window        int           // unacknowledged messages of a subscription: 256
	WindowBytes   int           // unacknowledged bytes of a connection: 1 MiB
	Subscriptions int           // of a connection, and those that a user has stored: 1,000
	Deliveries    int           // of a message that the client refuses each time: 10
	DurableTTL    time.Duration // of a durable subscription without a connection: 30 days
	CommandRate   int           // frames in a second: 1,000
	CommandBurst  int           // and at once: 10,000
	BackendRate   int           // as CommandRate, of who has logged in over TCP: no bound
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Window, 256)
	def(&l.WindowBytes, 1<<20)
	def(&l.Subscriptions, 1000)
	def(&l.Deliveries, 10)
	def(&l.CommandRate, 1000)
	def(&l.CommandBurst, 10_000)
	if l.DurableTTL == 0 {
		l.DurableTTL = 30 * 24 * time.Hour
	}
	if l.LoginTimeout == 0 {
		l.LoginTimeout = 10 * time.Second
	}
	return l
}

// Bounds that no configuration changes.
const (
	maxHeaders      = 100
	maxLine         = 8 << 10
	maxLoginHead    = 4 << 10          // all that a peer may send before it is known
	stallTimeout    = 30 * time.Second // without a byte taken
	frameTimeout    = 30 * time.Second // to complete a frame, and a WebSocket's message
	keepAlive       = 30 * time.Second // of silence, until the peer's kernel is asked
	maxPublishing   = 1024             // SENDs of one connection under way
	maxTransactions = 16               // of one connection
	maxTransaction  = 1000             // frames in one
	leastBeat       = 2 * time.Second  // between heart-beats: what a tick a second can promise
	wantedBeat      = 10 * time.Second
)

// Options are what a server is made of. All but Limits and Version are required.
type Options struct {
	Broker  *broker.Broker
	Hub     *hub.Hub
	Loops   []*reactor.Loop // those that the hub was made for, in the same order
	Limits  Limits
	Version string // of the program, for CONNECTED
	Logger  logrus.FieldLogger
	Now     func() time.Time
}

// A Server serves STOMP. Its methods may be called from any goroutine.
type Server struct {
	broker   *broker.Broker
	limits   Limits
	version  string
	log      logrus.FieldLogger
	now      func() time.Time
	parts    []*part
	open     atomic.Int64
	rechecks atomic.Uint64
	census   *census.Census

	mu      sync.Mutex
	records map[engine.SessionKey]*record // by whom they were claimed last
	groups  map[engine.SessionKey]*group  // that have members
}

// A part is what the connections of one loop share. It is owned by that loop.
type part struct {
	server  *Server
	loop    *reactor.Loop
	shard   *hub.Shard
	dirty   []*conn         // have something to send at the end of the turn
	behind  []*subscription // fell behind in this turn
	woken   []*group        // there is something for them
	shares  []*subscription // have something to tell their groups
	memory  reactor.Memory
	headers []frame.Header // of the frame that is carried out
	records map[*record]struct{}
	stale   []*record // have changed in this turn
	moves   []engine.CursorMove
	drained bool
	count   counts
	tally   tally
}

// New returns a server whose connections live on the loops. It is made after the
// session manager, whose turn has the hub's round.
func New(o Options) (*Server, error) {
	if o.Broker == nil || o.Hub == nil || o.Logger == nil || o.Now == nil || len(o.Loops) == 0 {
		return nil, errors.New("stomp: broker, hub, loops, logger and clock are required")
	}
	s := &Server{broker: o.Broker, limits: o.Limits.withDefaults(), version: o.Version, log: o.Logger, now: o.Now, records: map[engine.SessionKey]*record{}, groups: map[engine.SessionKey]*group{}}
	s.census = census.New(census.Options{
		Store: o.Broker.Engine(), Limit: s.limits.Subscriptions, Now: o.Now,
		Kinds: int(kinds), Kind: func(s *engine.Session) (int, bool) { k, ok := kindOf(s); return int(k), ok },
	})
	for i, shard := range o.Hub.Shards() {
		p := &part{server: s, loop: o.Loops[i], shard: shard, records: map[*record]struct{}{}}
		p.loop.OnTurn(p.turn)
		p.loop.OnTick(p.tick)
		s.parts = append(s.parts, p)
	}
	return s, nil
}

// Accept returns the handler of a connection that has just been made.
func (s *Server) Accept(rc *reactor.Conn) reactor.Handler { return s.begin(rc) }

// Len returns how many connections there are.
func (s *Server) Len() int { return int(s.open.Load()) }

// Drain tells all clients that the server restarts, and ends their connections.
func (s *Server) Drain() {
	for _, p := range s.parts {
		p.loop.Post(func() {
			p.drained = true
			for c := range p.conns {
				c.fail(errRestart, nil)
			}
		})
	}
}

// errRestart is what clients are told when the server stops.
var errRestart = message.Errorf(message.Unavailable, "the server restarts; connect again")

// conns calls yield for each connection of the part.
func (p *part) conns(yield func(*conn) bool) {
	for rc := range p.loop.All() {
		if c, ok := rc.Handler().(*conn); ok && !c.closed && !yield(c) {
			return
		}
	}
}

// turn ends a turn of the loop, after the hub's round: who fell behind catches up
// as far as its window goes, and every connection sends all it has in one write.
func (p *part) turn() {
	for i := 0; i < len(p.behind); i++ {
		p.behind[i].pump()
	}
	clear(p.behind)
	p.behind = p.behind[:0]
	for i, g := range p.woken {
		p.woken[i] = nil
		g.pump()
	}
	p.woken = p.woken[:0]
	for i, c := range p.dirty {
		p.dirty[i] = nil
		c.dirty = false
		c.flush()
	}
	p.dirty = p.dirty[:0]
	for i, s := range p.shares {
		p.shares[i] = nil
		s.report()
	}
	p.shares = p.shares[:0]
	for i, r := range p.stale {
		p.stale[i] = nil
		r.flush()
	}
	p.stale = p.stale[:0]
	if len(p.moves) > 0 {
		p.server.broker.Engine().MoveCursors(p.moves)
		p.moves = p.moves[:0]
	}
}

func (p *part) tick(now time.Time) {
	for r := range p.records {
		r.tick(now)
	}
	for c := range p.conns {
		c.tick(now)
	}
	p.publish()
	if s := p.server; p == s.parts[0] {
		s.census.Recount(s.broker.Go)
	}
}

// RecheckWhere looks up again who the connected clients are that concerned reports,
// and judges their rights. From when it returns, nothing is delivered that the
// rights in force do not allow. concerned is called on the loops.
func (s *Server) RecheckWhere(ctx context.Context, concerned func(*broker.Who) bool) error {
	s.rechecks.Add(1)
	return s.everywhere(ctx, func(p *part, done func()) {
		var all []*conn
		for c := range p.conns {
			if c.connected && concerned(c.who) {
				all = append(all, c)
			}
		}
		left := len(all)
		if left == 0 {
			done()
		}
		for _, c := range all {
			c.recheck(func() {
				if left--; left == 0 {
					done()
				}
			})
		}
	})
}

// Connected returns who the connected clients are, without the anonymous ones.
func (s *Server) Connected(ctx context.Context) ([]*broker.Who, error) {
	some := make([][]*broker.Who, len(s.parts))
	err := s.everywhere(ctx, func(p *part, done func()) {
		for c := range p.conns {
			if c.who != nil {
				i := slices.Index(s.parts, p)
				some[i] = append(some[i], c.who)
			}
		}
		done()
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(some...), nil
}

// everywhere runs f on each part's loop and waits until all have called done.
func (s *Server) everywhere(ctx context.Context, f func(p *part, done func())) error {
	ready := make(chan struct{}, len(s.parts))
	for _, p := range s.parts {
		p.loop.Post(func() { f(p, func() { ready <- struct{}{} }) })
	}
	for range s.parts {
		select {
		case <-ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

package transport

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/session"
)

// Limits bound one connection. Zero fields take the defaults.
type Limits struct {
	LoginTimeout time.Duration // until connect: 10 s
	Ping         time.Duration // of silence, until the server asks: 25 s
	CommandRate  int           // commands a second in the long run: 1,000
	CommandBurst int           // and at once: 10 times the rate
}

func (l Limits) withDefaults() Limits {
	if l.LoginTimeout == 0 {
		l.LoginTimeout = 10 * time.Second
	}
	if l.Ping == 0 {
		l.Ping = 25 * time.Second
	}
	if l.CommandRate == 0 {
		l.CommandRate = 1000
	}
	if l.CommandBurst == 0 {
		l.CommandBurst = 10 * l.CommandRate
	}
	return l
}

// Bounds that no configuration changes.
const (
	pongTimeout    = 10 * time.Second // after a ping
	stallTimeout   = 30 * time.Second // without a byte taken
	messageTimeout = 30 * time.Second // to complete a fragmented message
	maxFragments   = 1024
	maxPublishing  = 1024 // publishes of one connection under way
	maxOverRate    = 32   // publishes of one connection refused in a second, in the long run
	maxRefusals    = 1000 // commands refused by the rate, until the connection ends
)

// Options are what a server is made of. All but Limits, Others, CompressFrom and
// Idle are required.
type Options struct {
	Broker   *broker.Broker
	Sessions *session.Manager
	Loops    []*reactor.Loop // those that the sessions live on, in the same order
	Limits   Limits
	Gate     *origin.Gate
	Logger   logrus.FieldLogger
	Now      func() time.Time
	// Others take WebSocket connections with other subprotocols, by their names.
	Others map[string]func(*reactor.Conn, Handshake) reactor.Handler
	// CompressFrom is from how many bytes on messages are compressed for WebSocket
	// clients that agree on it. 0: none does.
	CompressFrom int
	// Idle returns the handler of a connection of HTTP/1.1 whose poll was answered,
	// and which waits for its next request. Without one it is closed.
	Idle func(*reactor.Conn) reactor.Handler

	stall time.Duration // for tests: another stallTimeout of answers
}

// A Server serves orbit.v1 on all transports.
type Server struct {
	broker *broker.Broker
	limits Limits
	wire   protocol.Limits
	gate   *origin.Gate
	log    logrus.FieldLogger
	now    func() time.Time
	idle   func(*reactor.Conn) reactor.Handler
	others map[string]func(*reactor.Conn, Handshake) reactor.Handler
	stall  time.Duration // stallTimeout of answers
	parts  []*part
	open   atomic.Int64 // connections
	// deflated is how messages are framed for those who have agreed on it; nil:
	// nobody may.
	deflated *deflatedFrames

	sessions *session.Manager
}

// A part is what the connections of one loop share. It is owned by that loop.
type part struct {
	server   *Server
	loop     *reactor.Loop
	sessions *session.Part
	streams  map[*down]struct{} // those that are no connection of the loop
	dirty    []client           // have something to send at the end of the turn
	works    *exchange          // that is in feed or proceed just now, if one is
	memory   reactor.Memory
	header   bytes.Reader       // over a frame whose header is being read
	one      [1]message.Message // that is being published
	inflater inflater
	drained  func(client) // set by Drain, for those that come later
	tally    [transports]atomic.Int64
}

// A client is a connection of the part, on any transport.
type client interface {
	tick(now time.Time)
	turnEnds()
	Bye(code string, retry time.Duration)
	kind() kind
}

// New returns a server whose connections live on the loops.
func New(o Options) (*Server, error) {
	if o.Broker == nil || o.Sessions == nil || o.Gate == nil || o.Logger == nil || o.Now == nil || len(o.Loops) == 0 {
		return nil, errors.New("transport: broker, sessions, loops, gate, logger and clock are required")
	}
	s := &Server{
		broker: o.Broker, limits: o.Limits.withDefaults(), log: o.Logger, now: o.Now, idle: o.Idle, others: o.Others, gate: o.Gate, sessions: o.Sessions,
		stall: cmp.Or(o.stall, stallTimeout),
		wire:  protocol.Limits{MaxMessage: o.Broker.MaxMessage()},
	}
	if o.CompressFrom > 0 {
		s.deflated = newDeflatedFrames(o.CompressFrom)
	}
	for i, sessions := range o.Sessions.Parts() {
		p := &part{server: s, loop: o.Loops[i], sessions: sessions, streams: map[*down]struct{}{}}
		p.loop.OnTurn(p.flush)
		p.loop.OnTick(p.tick)
		s.parts = append(s.parts, p)
	}
	return s, nil
}

// Len returns how many connections there are.
func (s *Server) Len() int { return int(s.open.Load()) }

// Drain tells all clients that the server restarts, and ends their connections,
// also those that are just being made or move between the loops. They come back
// at different times within spread.
func (s *Server) Drain(spread time.Duration) {
	farewell := func(c client) { c.Bye(byeRestart, minRetry+rand.N(spread)) }
	for _, p := range s.parts {
		p.loop.Post(func() {
			p.drained = farewell
			for c := range p.clients {
				farewell(c)
			}
		})
	}
}

// minRetry is the least that a client waits for a restarting server.
const minRetry = 200 * time.Millisecond

// workOn notes whose commands are being carried out; see works.
func (p *part) workOn(x *exchange) { p.works = x }

// clients calls yield for each connection of the part.
func (p *part) clients(yield func(client) bool) {
	for c := range p.loop.All() {
		if one, ok := c.Handler().(client); ok && !yield(one) {
			return
		}
	}
	for d := range p.streams {
		if !yield(d) {
			return
		}
	}
}

func (p *part) tick(now time.Time) {
	var counts [transports]int64
	for c := range p.clients {
		counts[c.kind()]++
		c.tick(now)
	}
	for k := range counts {
		p.tally[k].Store(counts[k])
	}
}

// flush ends a turn: every connection sends all it has in one write.
func (p *part) flush() {
	for i, c := range p.dirty {
		p.dirty[i] = nil
		c.turnEnds()
	}
	p.dirty = p.dirty[:0]
}

// leave takes c out of what the part will touch: it moves to another loop.
func (p *part) leave(c client) {
	p.dirty = slices.DeleteFunc(p.dirty, func(other client) bool { return other == c })
}

package transport

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/session"
)

// A carrier is what an exchange needs of its transport, on the loop that the
// connection is on.
type carrier interface {
	session.Conn
	// object queues one object of the protocol, which build appends. event says
	// what it is, to those who name it.
	object(event string, build func(dst []byte) []byte)
	// connected queues the answer to a connect.
	connected(c *protocol.Command, r *protocol.Connected)
	// commands returns the exchange itself.
	commands() *exchange
	// home is the part that the connection belongs to.
	home() *part
	// move takes the connection to another part and calls then there; if the
	// connection ends on the way, then is not called.
	move(to *part, then func())
	// full reports whether the connection holds back as much as it may until all commands
	// are answered: what is long is refused.
	full() bool
	// resume is called when waits has become false.
	resume()
}

// The codes of bye that this package gives; PROTOCOL.md, section 6.
const (
	byeRestart     = "restart"
	byeRateLimited = "rate_limited"
)

// An exchange is the state machine of orbit.v1 for one connection: commands in,
// replies out, in order. It is owned by the loop that its carrier is on.
//
// Publishes overlap with each other. Any other command waits until the
// publishes before it are answered, and those that cannot be answered at once
// hold up what is behind them.
//
// Beyond the rate, publishes and what has no answer wait for the next tick, and
// with them all that is behind: the peer's TCP slows it down, which a publisher
// that streams need not know of, and which costs the server nothing. Any other
// command is refused: no client that is in order comes near the rate with those.
// The two are counted apart, so that who streams may still subscribe.
type exchange struct {
	carrier carrier
	session *session.Session // nil before connect
	arrival *arrival         // before connect, then nil
	waiting *waiting         // nil if nothing waits

	publishes, others bucket
	publishing        int16 // publishes under way
	refused           int16 // commands beyond the rate, since others was full

	busy   bool // a command is being carried out elsewhere
	drains bool // the first line that waits does so for publishes
	slowed bool // what waits does so for the next tick
	closed bool
}

// An arrival is a client that has no session yet.
type arrival struct {
	proof            // of its request or its connect; then the session knows
	began time.Time  // for the login timeout
	from  netip.Addr // for the log
}

// A waiting is what has come and is not begun.
type waiting struct {
	lines      [][]byte
	deliveries []delivery // that came by requests of their own
}

// server returns what the connection belongs to. It is not kept, for there are
// many connections.
func (x *exchange) server() *Server { return x.carrier.home().server }

// queue returns what waits, to be added to.
func (x *exchange) queue() *waiting {
	if x.waiting == nil {
		x.waiting = &waiting{}
	}
	return x.waiting
}

// hasLines reports whether lines wait.
func (x *exchange) hasLines() bool { return x.waiting != nil && len(x.waiting.lines) > 0 }

// waits reports whether no commands are taken at the moment. The carrier stops
// reading; resume tells when to go on.
func (x *exchange) waits() bool { return x.holds() || x.carrier.Blocked() && !x.carrier.full() }

// holds reports whether none are taken for another reason than that the connection
// takes no answers.
func (x *exchange) holds() bool {
	return x.busy || x.drains || x.slowed || x.publishing >= maxPublishing
}

// passes reports whether a command need not wait for the connection to take answers: it
// has none, and nothing waits before it. A client of a stream that reads nothing until
// its acknowledgement is taken would else wait for one who waits for it to read.
func (x *exchange) passes(line []byte) bool {
	if x.holds() || x.hasLines() {
		return false
	}
	c, wrong := protocol.ParseCommand(line, x.server().wire)
	return wrong == nil && !c.Op.Answered()
}

// feed takes a text that holds one or more commands. The bytes are borrowed.
func (x *exchange) feed(text []byte) {
	p := x.carrier.home()
	defer p.workOn(p.works) // also behind a panic, which the loop survives
	p.workOn(x)
	x.take(text)
}

// take is feed where proceed is at it already.
func (x *exchange) take(text []byte) {
	for line := range protocol.Lines(text) {
		if x.closed {
			return
		}
		if x.waits() && !x.passes(line) {
			q := x.queue()
			q.lines = append(q.lines, bytes.Clone(line))
			continue
		}
		x.command(line)
	}
}

// proceed goes on after something that was waited for. Where that was done at once, by a
// command that is just being carried out, whoever does that goes on: commands would else
// overtake those behind that one, and each be carried out within the one before it.
func (x *exchange) proceed() {
	if x.carrier.home().works == x {
		return
	}
	x.carryOn()
	if w := x.waiting; w != nil && len(w.lines) == 0 && len(w.deliveries) == 0 {
		x.waiting = nil
	}
	if !x.waits() && !x.closed {
		x.carrier.resume()
	}
}

// carryOn carries out what waits, as far as it may be now.
func (x *exchange) carryOn() {
	p := x.carrier.home()
	defer p.workOn(p.works) // else x would not go on behind a panic
	p.workOn(x)
	for {
		for x.hasLines() && !x.waits() && !x.closed {
			line := x.waiting.lines[0]
			x.waiting.lines = x.waiting.lines[1:]
			x.command(line)
		}
		if x.hasLines() || x.holds() || !x.nextDelivery() {
			return
		}
	}
}

// idle reports whether all commands that have come are answered, but for the bodies that a
// full connection does not begin.
func (x *exchange) idle() bool {
	return !x.busy && x.publishing == 0 && !x.hasLines() && !x.hasDelivery()
}

// tick goes on with what was beyond the rate.
func (x *exchange) tick() {
	if x.slowed {
		x.slowed = false
		x.proceed()
	}
}

// writable is called when the connection takes more.
func (x *exchange) writable() {
	if x.session != nil {
		x.session.Writable()
	}
	x.proceed()
}

// close ends the exchange with its connection. The session waits for another.
func (x *exchange) close() {
	if x.closed {
		return
	}
	x.closed = true
	x.dropDeliveries()
	x.waiting = nil
	if x.session != nil {
		x.session.Detach(x.carrier)
	}
}

// late reports whether the client has not connected in time.
func (x *exchange) late(now time.Time) bool {
	return x.session == nil && !x.busy && now.Sub(x.arrival.began) >= x.server().limits.LoginTimeout
}

// command carries out one command. The line is borrowed.
func (x *exchange) command(line []byte) {
	c, wrong := protocol.ParseCommand(line, x.server().wire)
	if wrong == nil && x.publishing > 0 && c.Op.Answered() && c.Op != protocol.OpPublish {
		x.drains = true
		x.putBack(line)
		return
	}
	switch {
	case !x.admit(&c, line):
	case wrong != nil && c.Op == protocol.OpConnect && x.session == nil:
		x.refuse(c.ID, wrong)
	case wrong != nil:
		x.fail(c.ID, wrong)
	case x.session == nil && c.Op != protocol.OpConnect && c.Op.Answered():
		x.fail(c.ID, message.Errorf(message.BadRequest, "send connect first"))
	case c.Op == protocol.OpPublish:
		x.publish(c.ID, c.Message())
	case c.Op == protocol.OpAck:
		x.ack(&c)
	default:
		kept := c // for what is done elsewhere; those before need no copy
		x.carryOut(&kept)
	}
}

// putBack makes a line the next one again.
func (x *exchange) putBack(line []byte) {
	q := x.queue()
	q.lines = slices.Insert(q.lines, 0, bytes.Clone(line))
}

// admit counts a command, and reports whether it is within the rate. One that is
// not waits or has been refused.
func (x *exchange) admit(c *protocol.Command, line []byte) bool {
	now, limits := x.server().now(), &x.server().limits
	if c.Op == protocol.OpPublish {
		if x.publishes.take(now, limits.CommandRate, limits.CommandBurst) {
			return true
		}
	} else {
		if x.others.isFull(now) {
			x.refused = 0
		}
		if x.others.take(now, limits.CommandRate, limits.CommandBurst) {
			return true
		}
		if c.Op.Answered() {
			x.tooFast(c.ID)
			return false
		}
	}
	x.slowed = true
	x.putBack(line)
	return false
}

// admitControl counts what is not a command and still makes work.
func (x *exchange) admitControl() bool {
	limits := &x.server().limits
	return x.others.take(x.server().now(), limits.CommandRate, limits.CommandBurst)
}

// charge counts work that has been done as so many publishes. Beyond the rate,
// what is behind it waits for the next tick.
func (x *exchange) charge(publishes int) {
	limits := &x.server().limits
	if !x.publishes.takeMany(x.server().now(), limits.CommandRate, limits.CommandBurst, publishes) {
		x.slowed = true
	}
}

// chargeRefused charges a publish that was refused for its application's rate as so many
// that a connection has maxOverRate of them in a second: a client that tries again at
// once else takes the loop from those of other applications.
func (x *exchange) chargeRefused(err error) {
	if message.CodeOf(err) == message.RateLimited {
		x.charge(max(1, x.server().limits.CommandRate/maxOverRate))
	}
}

// tooFast refuses a command beyond the rate, and in the end the connection.
func (x *exchange) tooFast(id uint64) {
	if x.refused++; x.refused > maxRefusals {
		x.carrier.Bye(byeRateLimited, 0)
		return
	}
	limits := &x.server().limits
	x.fail(id, message.Errorf(message.RateLimited, "more than %d commands a second, after %d at once (session.command_rate, command_burst)", limits.CommandRate, limits.CommandBurst))
}

// carryOut carries out a command that there are few of.
func (x *exchange) carryOut(c *protocol.Command) {
	switch c.Op {
	case protocol.OpPing:
		x.carrier.object(eventPong, protocol.AppendPong)
	case protocol.OpPong:
	case protocol.OpConnect:
		x.connect(c)
	case protocol.OpSubscribe:
		x.subscribe(c)
	case protocol.OpUnsubscribe:
		x.unsubscribe(c)
	case protocol.OpHistory:
		x.history(c)
	case protocol.OpAuth:
		x.auth(c)
	}
}

// fail answers a command with an error, or a text that could not be read as
// one. What only the log may know goes there.
func (x *exchange) fail(id uint64, err error) {
	e := message.AsError(err)
	if e.Cause != nil && e.Code == message.Internal {
		x.server().log.WithError(err).Error("a command failed")
	}
	x.carrier.object(eventReply, func(dst []byte) []byte { return protocol.AppendError(dst, id, e) })
}

// refuse answers a connect with an error and ends the connection.
func (x *exchange) refuse(id uint64, err error) {
	if x.arrival != nil {
		auth.LogRefused(x.server().log, x.arrival.from, err)
	}
	x.fail(id, err)
	x.carrier.Bye(string(message.CodeOf(err)), retryAfter(err))
}

// retryAfter says when a client that was refused may try again by itself.
func retryAfter(err error) time.Duration {
	switch message.CodeOf(err) {
	case message.Unavailable, message.Internal, message.Unknown:
		return 5 * time.Second
	}
	return 0
}

// elsewhere carries out work where it may block, by the broker's Go or Ask, and
// then calls the function that it returns back on the loop, unless the connection
// has ended. Commands wait meanwhile.
func (x *exchange) elsewhere(by func(func()), work func() (then func())) {
	x.busy = true
	loop := x.carrier.home().loop
	by(func() {
		then := work()
		loop.Post(func() { x.done(then) })
	})
}

func (x *exchange) done(then func()) {
	if x.closed {
		return
	}
	x.busy = false
	then()
	if !x.busy {
		x.proceed()
	}
}

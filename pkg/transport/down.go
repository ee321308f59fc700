package transport

import (
	"net/http"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/session"
)

// A wire takes the bytes of one answer: a parked connection of HTTP/1.1, or a
// stream of HTTP/2. It belongs to a loop, as a reactor.Conn does.
type wire interface {
	// begin starts the answer. What it returns goes before the body.
	begin(status int, h http.Header) []byte
	// write is reactor.Conn.Write.
	write(bufs ...[]byte) (blocked bool)
	// finish ends the answer when all of it has been taken. With keep, the
	// connection serves on, where it can.
	finish(keep bool)
	// abort ends the answer at once.
	abort()
	// stalled is reactor.Conn.Stalled.
	stalled() time.Time
	// move takes the wire to another loop and calls then there, unless it ends
	// on the way.
	move(to *part, then func())
}

// A shape is how objects stand in an answer's body.
type shape interface {
	// format is the shape of messages.
	format() hub.Format
	// object appends what build appends, as an event of that name.
	object(dst []byte, event string, build func([]byte) []byte) []byte
}

// The names of events; PROTOCOL.md, section 7, sse. Messages have none.
const (
	eventOpen    = "open"
	eventReply   = "reply"
	eventAt      = "at"
	eventGap     = "gap"
	eventRevoked = "revoked"
	eventBye     = "bye"
	eventPing    = "ping"
	eventPong    = "pong"
)

// A down is the connection of a session whose commands come by HTTP requests: one
// answer that goes on for as long as there is something to say. It is the
// reactor's handler, the session's connection and the exchange's carrier; all of
// it is owned by the loop that its wire is on.
type down struct {
	part     *part
	wire     wire
	shape    shape
	exchange exchange
	asks     request     // what it begins with; zero once it has begun
	header   http.Header // of the answer; nil once that has begun
	hold     *hold       // of a poll; else nil
	out      [][]byte    // to be sent at the end of the turn; nil if there is nothing
	spoke    time.Time   // when something was last sent
	plain    bool        // an EventSource of its own, without our library
	dirty    bool        // stands in part.dirty
	blocked  bool        // the wire has not taken everything
	closed   bool        // nothing more is sent
	gone     bool        // is counted no more
}

// A request is what the client asks for: commands, or channels and where to start.
type request struct {
	commands []byte
	follow   *follow
}

var (
	_ reactor.Handler = (*down)(nil)
	_ carrier         = (*down)(nil)
	_ session.Marker  = (*down)(nil)
)

// start begins, on the loop of the wire.
func (d *down) start(w wire) {
	if d.closed {
		return // it has gone meanwhile
	}
	d.wire, d.spoke = w, d.part.server.now()
	asks := d.asks
	d.asks = request{}
	if d.part.drained != nil {
		d.part.drained(d)
		return
	}
	if asks.follow != nil {
		d.openFeed(asks.follow)
		return
	}
	d.exchange.feed(asks.commands)
	if !d.exchange.waits() {
		d.resume()
	}
}

// Data drops what comes behind the request of an answer that does not end. A poll
// keeps it: it may be the next request.
func (d *down) Data(_ *reactor.Conn, b []byte) (consumed int) {
	if d.hold != nil {
		return 0
	}
	return len(b)
}

// Writable goes on with what waited for the wire.
func (d *down) Writable(*reactor.Conn) {
	d.blocked = false
	switch {
	case !d.closed:
		d.exchange.writable()
	case d.hold != nil:
		d.wire.finish(d.hold.keep)
	}
}

// Closed ends the connection's part in the session, which waits for another.
func (d *down) Closed(*reactor.Conn, error) {
	d.closed = true
	d.exchange.close()
	d.leave()
}

// leave counts the connection no more.
func (d *down) leave() {
	if d.gone {
		return
	}
	d.gone = true
	d.part.server.open.Add(-1)
	if d.isStream() { // then this is the part's loop; a parked one may have ended between two
		delete(d.part.streams, d)
	}
}

func (d *down) isStream() bool {
	_, ok := d.wire.(*streamed)
	return ok
}

func (d *down) tick(now time.Time) {
	d.exchange.tick()
	stalled := d.wire.stalled()
	switch {
	case !stalled.IsZero() && now.Sub(stalled) >= d.part.server.stall:
		d.closed = true
		d.exchange.close()
		d.wire.abort()
	case d.closed:
	case d.hold != nil:
		d.markDirty() // its time may be over
	case now.Sub(d.spoke) >= d.part.server.limits.Ping && stalled.IsZero():
		d.keepAlive()
	}
}

// send queues bytes for the end of the turn.
func (d *down) send(b []byte) {
	if d.closed {
		return
	}
	if d.out == nil {
		d.out = d.part.memory.Take()
	}
	if d.hold != nil {
		d.hold.queued += len(b)
	}
	d.out = append(d.out, b)
	d.markDirty()
}

func (d *down) markDirty() {
	if !d.dirty {
		d.dirty = true
		d.part.dirty = append(d.part.dirty, d)
	}
}

// turnEnds sends what was queued in this turn; a poll, when it is complete.
func (d *down) turnEnds() {
	d.dirty = false
	switch {
	case d.closed:
	case d.hold == nil:
		d.flush()
	case d.over():
		d.answer()
	}
}

func (d *down) flush() {
	if len(d.out) == 0 {
		return
	}
	d.spoke = d.part.server.now()
	d.blocked = d.wire.write(d.begun(d.out)...)
	d.part.memory.Give(d.out)
	d.out = nil
}

// begun returns bufs, behind the answer's head if it has not begun.
func (d *down) begun(bufs [][]byte) [][]byte {
	if d.header == nil {
		return bufs
	}
	head := d.wire.begin(http.StatusOK, d.header)
	d.header = nil
	return append([][]byte{head}, bufs...)
}

// end ends the answer behind all that was queued.
func (d *down) end() {
	if d.hold != nil {
		d.answer()
		return
	}
	d.flush()
	d.closed = true
	d.exchange.close()
	d.wire.finish(false)
}

// The carrier of the exchange.

func (d *down) object(event string, build func([]byte) []byte) {
	if d.hold != nil {
		d.hold.something = true
	}
	d.queue(event, build)
}

func (d *down) queue(event string, build func([]byte) []byte) {
	d.send(d.part.memory.Cut(func(dst []byte) []byte { return d.shape.object(dst, event, build) }))
}

func (d *down) connected(c *protocol.Command, r *protocol.Connected) {
	if d.hold != nil {
		d.hold.connected(c, r)
	}
	if d.plain {
		d.send(d.part.memory.Cut(appendOpeningRetry))
	}
	d.queue(eventOpen, func(dst []byte) []byte { return protocol.AppendConnected(dst, c.ID, r) })
	if d.hold != nil {
		d.hold.queued = 0 // or with very many channels each poll would be full by its reply
	}
}

func (d *down) commands() *exchange { return &d.exchange }

func (d *down) home() *part { return d.part }

// resume is called when all commands are carried out. Without a session there
// will be no others.
func (d *down) resume() {
	if d.exchange.session == nil {
		d.Bye(string(message.BadRequest), 0)
	}
}

func (d *down) move(to *part, then func()) {
	d.part.leave(d)
	d.dirty = false
	if d.isStream() {
		delete(d.part.streams, d)
	}
	d.wire.move(to, func() {
		d.part = to
		if d.isStream() {
			to.streams[d] = struct{}{}
		}
		if to.drained != nil {
			to.drained(d)
			return
		}
		then()
	})
}

// The connection of the session.

// Format returns the shape of messages.
func (d *down) Format() hub.Format { return d.shape.format() }

// Frames queues frames that are shared with other connections.
func (d *down) Frames(b []byte) {
	if d.hold != nil {
		d.hold.something = true
	}
	d.send(b)
}

// Blocked reports whether the wire has not taken everything, or a poll is full.
func (d *down) Blocked() bool { return d.blocked || d.full() }

// At ends a replay.
func (d *down) At(name channel.Name, offset message.Offset) {
	if d.hold != nil {
		d.hold.replayed(name)
	}
	d.queue(eventAt, func(dst []byte) []byte { return protocol.AppendAt(dst, name, offset) })
}

// Gap tells what can no longer be delivered.
func (d *down) Gap(g engine.Gap) {
	d.object(eventGap, func(dst []byte) []byte { return protocol.AppendGap(dst, g.Channel, g.After, g.To, g.Reason) })
}

// Revoked tells that a subscription has ended.
func (d *down) Revoked(name channel.Name, why *message.Error) {
	d.object(eventRevoked, func(dst []byte) []byte { return protocol.AppendRevoked(dst, name, why) })
}

// Bye tells why the connection ends, and ends it. A poll that another connection
// has displaced is answered with nothing: what it was to be told, the answer to
// its connect included, is the other's by now.
func (d *down) Bye(code string, retry time.Duration) {
	switch {
	case d.closed:
		return
	case d.hold != nil && code == session.ByeDisplaced:
		d.out = nil
	default:
		if d.plain && retry > 0 {
			d.send(d.part.memory.Cut(func(dst []byte) []byte { return appendRetry(dst, retry) }))
		}
		d.object(eventBye, func(dst []byte) []byte { return protocol.AppendBye(dst, message.Code(code), retry) })
	}
	d.end()
}

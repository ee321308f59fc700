package transport

import (
	"net/netip"
	"time"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/reactor"
)

// A websocket is one parked WebSocket connection. It is the reactor's handler,
// the session's connection and the exchange's carrier; all of it is owned by the
// loop that the connection is on.
type websocket struct {
	conn     *reactor.Conn
	part     *part
	exchange exchange

	out      [][]byte // to be sent at the end of the turn; nil if there is nothing
	dirty    bool     // stands in part.dirty
	blocked  bool     // the socket has not taken everything
	pinged   bool     // and nothing has come since
	deflates bool     // permessage-deflate was agreed on
	yields   bool     // reads no more in this turn
	held     int64    // when commands were last held up, Unix nanoseconds: silence before it is ours
	partial  *partial // nil but while a message is incomplete
}

// A partial is a message that is not all there.
type partial struct {
	data      []byte
	mask      [4]byte
	taken     int  // bytes of the current frame
	missing   int  // and those still to come
	final     bool // the current frame is the message's last
	deflated  bool
	fragments int
	since     time.Time
}

// newWebsocket makes the handler of a connection that was upgraded. brings is what the
// request has brought, page its origin, from the client's address.
func (p *part) newWebsocket(conn *reactor.Conn, brings auth.Credentials, page string, from netip.Addr) *websocket {
	w := &websocket{conn: conn, part: p}
	p.server.open.Add(1)
	w.exchange = exchange{carrier: w, arrival: &arrival{proof: proof{page: page}, began: p.server.now(), from: from}}
	if !brings.Empty() {
		w.exchange.arrival.brings = &brings
	}
	return w
}

// end closes the connection after all that was queued, telling the peer why.
func (w *websocket) end(why violation) {
	if w.exchange.closed {
		return
	}
	w.send(w.part.memory.Cut(func(dst []byte) []byte { return appendClose(dst, why.code, why.reason) }))
	w.flush()
	w.exchange.close() // nothing more is read or sent
	w.conn.Close()
}

// Writable goes on with what waited for the socket.
func (w *websocket) Writable(*reactor.Conn) {
	w.blocked = false
	if !w.exchange.closed {
		w.exchange.writable()
	}
}

// Closed ends the connection's part in the session, which waits for another.
func (w *websocket) Closed(*reactor.Conn, error) {
	w.part.server.open.Add(-1)
	w.exchange.close() // nothing more is read or sent
}

// holdUp notes that nothing is read: what does not come meanwhile is not missing.
func (w *websocket) holdUp(now time.Time) {
	w.held = now.UnixNano()
	if w.partial != nil {
		w.partial.since = now
	}
}

func (w *websocket) tick(now time.Time) {
	w.exchange.tick()
	if w.exchange.waits() {
		w.holdUp(now)
	}
	silent := min(now.Sub(w.conn.LastRead()), time.Duration(now.UnixNano()-w.held))
	stalled := w.conn.Stalled()
	limits := &w.part.server.limits
	switch {
	case w.exchange.closed:
	case !stalled.IsZero() && now.Sub(stalled) >= stallTimeout, silent >= limits.Ping+pongTimeout:
		w.exchange.close()
		w.conn.CloseNow()
	case w.exchange.late(now):
		w.end(violation{ws.StatusPolicyViolation, "no connect in time (session.login_timeout)"})
	case w.partial != nil && now.Sub(w.partial.since) >= messageTimeout:
		w.end(violation{ws.StatusPolicyViolation, "a message was not completed in time"})
	case silent >= limits.Ping && !w.pinged:
		w.pinged = true
		w.object(eventPing, protocol.AppendPing)
	}
}

// send queues bytes for the end of the turn.
func (w *websocket) send(b []byte) {
	if w.exchange.closed {
		return
	}
	if w.out == nil {
		w.out = w.part.memory.Take()
	}
	w.out = append(w.out, b)
	w.markDirty()
}

func (w *websocket) markDirty() {
	if !w.dirty {
		w.dirty = true
		w.part.dirty = append(w.part.dirty, w)
	}
}

// turnEnds sends all that was queued in this turn, and goes on in the next with
// what was too much for it.
func (w *websocket) turnEnds() {
	w.dirty = false
	w.flush()
	if w.yields {
		w.yields = false
		if !w.exchange.closed && !w.exchange.waits() {
			w.resume()
		}
	}
}

func (w *websocket) flush() {
	if len(w.out) == 0 {
		return
	}
	w.blocked = w.conn.Write(w.out...)
	w.part.memory.Give(w.out)
	w.out = nil
}

// The carrier of the exchange.

func (w *websocket) object(_ string, build func([]byte) []byte) {
	w.send(w.part.memory.Cut(func(dst []byte) []byte { return appendText(dst, build) }))
}

func (w *websocket) connected(c *protocol.Command, r *protocol.Connected) {
	w.object(eventOpen, func(dst []byte) []byte { return protocol.AppendConnected(dst, c.ID, r) })
}

func (w *websocket) commands() *exchange { return &w.exchange }

func (w *websocket) home() *part { return w.part }
func (w *websocket) full() bool  { return false }
func (w *websocket) resume()     { w.conn.ResumeRead() }

func (w *websocket) move(to *part, then func()) {
	w.flush()
	w.part.leave(w)
	w.dirty = false
	w.conn.Move(to.loop, func(*reactor.Conn) {
		w.part = to
		if to.drained != nil {
			to.drained(w)
			return
		}
		then()
	})
}

// The connection of the session.

// Format returns text frames.
func (w *websocket) Format() hub.Format {
	if w.deflates {
		return w.part.server.deflated
	}
	return textFrames{}
}

// Frames queues frames that are shared with other connections.
func (w *websocket) Frames(b []byte) { w.send(b) }

// Blocked reports whether the socket has not taken everything.
func (w *websocket) Blocked() bool { return w.blocked }

// At ends a replay.
func (w *websocket) At(name channel.Name, offset message.Offset) {
	w.object(eventAt, func(dst []byte) []byte { return protocol.AppendAt(dst, name, offset) })
}

// Gap tells what can no longer be delivered.
func (w *websocket) Gap(g engine.Gap) {
	w.object(eventGap, func(dst []byte) []byte { return protocol.AppendGap(dst, g.Channel, g.After, g.To, g.Reason) })
}

// Revoked tells that a subscription has ended.
func (w *websocket) Revoked(name channel.Name, why *message.Error) {
	w.object(eventRevoked, func(dst []byte) []byte { return protocol.AppendRevoked(dst, name, why) })
}

// Bye tells why the connection ends, and ends it.
func (w *websocket) Bye(code string, retry time.Duration) {
	if w.exchange.closed {
		return
	}
	w.object(eventBye, func(dst []byte) []byte { return protocol.AppendBye(dst, message.Code(code), retry) })
	status := ws.StatusPolicyViolation
	if code == byeRestart {
		status = ws.StatusCode(1012) // RFC 6455 registry: service restart
	}
	w.end(violation{status, code})
}

package httpserver

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A front is what the openings of one loop have in common. They stand in lists,
// the oldest first, so that a tick looks at those whose time is over and at no
// other. It is owned by the loop.
type front struct {
	server *Server
	loop   *reactor.Loop
	fresh  line // have headTimeout
	bodies line // have bodyTimeout for what a head has promised
	idle   line // have carried a request, and have idleTimeout for the next to begin
	kept   int  // bytes of heads and bodies that are not complete
	busy   bool // expiring goes on in a later turn
	ended  bool // nothing is handed over any more
}

// maxWhole is up to what size a body is awaited on the loop, where one that is slow
// costs its own bytes. A larger one, and one whose size nobody knows, is read by who
// serves it; see awaited.
const maxWhole = 4 << 10

// maxKept bounds what all loops keep of requests that are not complete. Beyond it
// the oldest of them go: what is honest is complete at once.
const maxKept = 16 << 20

// A line is a list of openings.
type line struct{ oldest, newest *opening }

// An opening is the handler of a connection until its first request's head is
// there, and its body, if that is small. It is owned by the connection's loop.
type opening struct {
	front        *front
	conn         *reactor.Conn
	since        time.Time
	kept         int   // bytes that have come
	need         int   // bytes of head and body; 0 until the head is there
	begun        bool  // something of a head has come
	in           *line // nil if it waits no longer
	older, newer *opening
}

// open returns the handler of a new connection.
func (f *front) open(c *reactor.Conn) *opening {
	o := &opening{front: f, conn: c}
	f.fresh.add(o)
	return o
}

// wait returns the handler of a connection that waits for its next request.
func (f *front) wait(c *reactor.Conn) *opening {
	o := &opening{front: f, conn: c}
	c.SetUrgent(false)
	f.idle.add(o)
	return o
}

// add puts o at the end of the list.
func (l *line) add(o *opening) {
	o.since, o.in, o.older = o.front.server.o.Now(), l, l.newest
	if l.newest != nil {
		l.newest.newer = o
	} else {
		l.oldest = o
	}
	l.newest = o
}

// leave takes o from its list: it waits no longer.
func (o *opening) leave() {
	l := o.in
	if l == nil {
		return
	}
	o.keep(0)
	if o.older != nil {
		o.older.newer = o.newer
	} else {
		l.oldest = o.newer
	}
	if o.newer != nil {
		o.newer.older = o.older
	} else {
		l.newest = o.older
	}
	o.in, o.older, o.newer = nil, nil, nil
}

// expirePiece is how many connections a turn ends whose time is over: a crowd of them
// comes at once, and mostly goes at once.
const expirePiece = 16

// tick ends the connections whose head, body or next request is late, unless it is at it.
func (f *front) tick(time.Time) {
	if !f.busy {
		f.expire()
	}
}

// expire ends a piece of them, and leaves the rest to later turns; behind a panic to the
// next tick. Those that have sent nothing are told nothing: browsers open connections
// ahead of need, and would take an answer for that to a request they make later.
func (f *front) expire() {
	f.busy = false
	now, most := f.server.o.Now(), expirePiece
	f.fresh.expire(now, &most, headTimeout, "the request's head did not come in time")
	f.bodies.expire(now, &most, bodyTimeout, "the request's body did not come in time")
	f.idle.expire(now, &most, idleTimeout, "")
	if f.busy = most == 0; f.busy {
		f.loop.Later(f.expire)
	}
}

// expire ends those of a list that have been in it for so long, most of them at most,
// but for those of whom something has come that the loop has not got round to read.
func (l *line) expire(now time.Time, most *int, timeout time.Duration, why string) {
	for o := l.oldest; o != nil && *most > 0 && now.Sub(o.since) >= timeout; o = l.oldest {
		*most--
		if !o.conn.Unread() {
			o.end(http.StatusRequestTimeout, why)
			continue
		}
		kept := o.kept
		o.leave()
		l.add(o)
		o.keep(kept)
	}
}

// end closes what no request has come on.
func (f *front) end() {
	f.ended = true
	for _, l := range []*line{&f.fresh, &f.bodies, &f.idle} {
		for l.oldest != nil {
			l.oldest.end(http.StatusServiceUnavailable, stopping)
		}
	}
}

const stopping = "the server is stopping"

func (o *opening) end(status int, why string) {
	if o.begun {
		o.refuse(status, why)
		return
	}
	o.leave()
	o.conn.Close()
}

// Data waits for a whole request, or its head, and sends the connection on its way.
func (o *opening) Data(c *reactor.Conn, b []byte) (consumed int) {
	if o.begun = true; o.in == &o.front.idle {
		o.leave()
		o.front.fresh.add(o)
	}
	if len(b) < o.need {
		o.keep(len(b))
		return 0
	}
	n := headEnd(b[:min(len(b), maxHead)])
	if n == 0 {
		if o.keep(len(b)); len(b) >= maxHead {
			o.refuse(http.StatusRequestHeaderFieldsTooLarge, "the request's head is too large")
		}
		return 0
	}
	h, err := parseHead(b[:n])
	switch s := o.front.server; {
	case err != nil:
		o.refuse(http.StatusBadRequest, err.Error())
	case h.body > int64(len(b)-n) && h.body <= maxWhole && !h.chunked && !h.expects:
		o.need = n + int(h.body)
		o.leave()
		o.front.bodies.add(o)
		o.keep(len(b))
	case !h.isUpgrade(s.o.UpgradePath):
		o.leave()
		s.handOver(o.conn)
	case s.stopping.Load():
		o.refuse(http.StatusServiceUnavailable, stopping)
	default:
		o.upgrade(bytes.TrimLeft(b[:n], "\r\n"))
		return n
	}
	return 0
}

// keep counts what has come of a request that is not complete.
func (o *opening) keep(n int) {
	f := o.front
	f.kept += n - o.kept
	o.kept = n
	for f.kept > maxKept/len(f.server.fronts) {
		oldest := f.fresh.oldest
		if b := f.bodies.oldest; oldest == nil || b != nil && b.since.Before(oldest.since) {
			oldest = b
		}
		oldest.end(http.StatusRequestTimeout, "too many requests come slowly, and this one has waited longest")
	}
}

// upgrade gives the connection to who upgrades.
func (o *opening) upgrade(head []byte) {
	o.leave()
	if next, ok := o.front.server.o.Upgrade(o.conn, head); ok {
		o.conn.SetHandler(next)
		o.conn.SetUrgent(true)
	} else {
		o.conn.Close()
	}
}

// Writable has nothing to go on with.
func (o *opening) Writable(*reactor.Conn) {}

// Closed forgets the connection.
func (o *opening) Closed(*reactor.Conn, error) { o.leave() }

// refuse answers what cannot be handed to net/http, and closes.
func (o *opening) refuse(status int, why string) {
	o.leave()
	o.conn.Write(fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), len(why)+1, why))
	o.conn.Close()
}

package transport

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/session"
)

// later has the tick of a moment to come, on the only loop, and waits for it.
func (r *rig) later(d time.Duration) { r.t.Helper(); r.tick(time.Now().Add(d)) }

func (r *rig) tick(at time.Time) {
	r.t.Helper()
	part, done := r.server.parts[0], make(chan struct{})
	part.loop.Post(func() { part.tick(at); close(done) })
	<-done
}

// ended waits until the server has no connection any more.
func (r *rig) ended() {
	r.t.Helper()
	for end := time.Now().Add(patience); r.server.Len() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatal("the connection is still there")
		}
	}
}

// Who is silent is asked, once, and who does not answer has gone; any byte is an
// answer.
func TestSilence(t *testing.T) {
	r := newRig(t, rigOptions{loops: 1})
	p := r.dial()
	p.connect("")
	r.later(24 * time.Second)
	r.later(25 * time.Second)
	r.later(34 * time.Second)
	p.want(`{"op":"ping"}`)
	p.send(`{"op":"pong"}`, `{"id":2,"op":"unsubscribe","channel":"/a/b"}`)
	p.want(`{"re":2}`) // and not a second ping
	r.later(25 * time.Second)
	p.want(`{"op":"ping"}`)
	r.later(35 * time.Second)
	r.ended()
}

// A message that is begun has to be completed in time.
func TestIncompleteMessage(t *testing.T) {
	r := newRig(t, rigOptions{loops: 1})
	p := r.dial()
	p.connect("")
	p.frames(ws.NewFrame(ws.OpText, false, []byte(`{"id":2,`)))
	p.frames(ws.NewPingFrame(nil)) // in between, and its answer says that the rest was read
	if h, err := ws.ReadHeader(p.in); err != nil || h.OpCode != ws.OpPong {
		t.Fatalf("got %v and %v", h, err)
	}
	r.later(29 * time.Second)
	p.want(`{"op":"ping"}`)
	r.later(30 * time.Second)
	if code := p.closed(); code != ws.StatusPolicyViolation {
		t.Errorf("close code %d", code)
	}
}

// Who takes nothing for half a minute is cut off, whatever it sends, and finds
// everything where it was when it comes back.
func TestTakesNothing(t *testing.T) {
	r := newRig(t, rigOptions{loops: 1, session: session.Limits{Window: 10_000, WindowBytes: 64 << 20}})
	p := r.dial()
	o := p.connect("")
	p.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
	p.want(`{"re":2,"offset":1}`)
	const n = 300 // more than the sockets hold
	for range n {
		r.publish("/a/b", strings.Repeat("x", 60_000))
	}
	since := r.stalled()
	for range 2 { // the turn of the first has ended
		r.tick(since.Add(29 * time.Second))
	}
	if r.server.Len() != 1 {
		t.Fatal("cut off too early")
	}
	r.tick(since.Add(30 * time.Second))
	r.ended()
	q := r.dial()
	q.connect(fmt.Sprintf(`"session":%q,"secret":%q,"epoch":%q,"last":{"/a/b":1}`, o["session"], o["secret"], o["epoch"]))
	for i := range n {
		if m := q.next(); m["o"] != float64(i+2) {
			t.Fatalf("message %d is %v", i, m["o"])
		}
	}
}

// stalled waits until the socket of the only connection takes no more, and
// returns since when.
func (r *rig) stalled() time.Time {
	r.t.Helper()
	part, since := r.server.parts[0], make(chan time.Time, 1)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		part.loop.Post(func() {
			var s time.Time
			for c := range part.clients {
				s = c.(*websocket).conn.Stalled()
			}
			since <- s
		})
		if s := <-since; !s.IsZero() {
			return s
		}
	}
	r.t.Fatal("the socket takes everything")
	return time.Time{}
}

// frames writes frames as they are, masked.
func (p *peer) frames(frames ...ws.Frame) {
	p.t.Helper()
	for _, f := range frames {
		must(p.t, ws.WriteFrame(p.conn, ws.MaskFrame(f)))
	}
}

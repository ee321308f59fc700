package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// Live, then the window is full and nothing more comes, then an ack opens it.
func TestWindow(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{Window: 3}})
	c := r.connect(0, anybody)
	c.now("/a")
	r.publish("/a", "x", "x", "x", "x", "x")
	c.want("/a:2", "/a:3", "/a:4")
	c.silent()
	c.ack("/a", 2)
	c.want("/a:5")
	c.silent()
	c.ack("/a", 1) // behind: nothing
	c.silent()
	c.ack("/a", 5)
	c.want("/a:6")
	r.publish("/a", "x")
	c.want("/a:7")
	c.silent()
}

// The limit of bytes is shared by all subscriptions. It holds for a run of many
// messages as for one by one; a single message passes, however large.
func TestWindowBytes(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{WindowBytes: 2000}})
	c := r.connect(0, anybody)
	c.now("/a", "/b")
	text := strings.Repeat("x", 900)
	batch := make([]message.Message, 5)
	for i := range batch {
		batch[i] = message.Message{Channel: "/a", Data: []byte(text)}
	}
	_, err := engine.Publish(t.Context(), r.engine, batch...) // one run
	must(t, err)
	c.want("/a:2", "/a:3", "/a:4")
	r.publish("/b", text)
	c.silent()
	c.ack("/a", 4)
	c.want("/a:5", "/a:6", "/b:7")
	c.ack("/b", 7)
	c.ack("/a", 6)
	r.publish("/a", strings.Repeat("x", 5000))
	c.want("/a:8")
	r.publish("/b", "x")
	c.silent()
	c.ack("/a", 8)
	c.want("/b:9")
}

// What ends a subscription gives its share of the limit of bytes back, and those
// that waited for it go on.
func TestEndsMakeRoom(t *testing.T) {
	for what, end := range map[string]func(r *rig, c *client){
		"unsubscribe": func(_ *rig, c *client) { c.unsubscribe("/a") },
		"moved":       func(_ *rig, c *client) { c.now("/a") },
		"revoked": func(r *rig, c *client) {
			r.reload(rule(t, "/a", "user:alice"), rule(t, "/**", "*"))
			c.want("/a!forbidden")
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, rigOptions{limits: session.Limits{WindowBytes: 1000}})
			c := r.connect(0, anybody)
			c.now("/a", "/b")
			r.publish("/a", strings.Repeat("x", 2000))
			c.want("/a:2")
			r.publish("/b", "x")
			c.silent()
			end(r, c)
			c.want("/b:3")
		})
	}
}

// An ack beyond what was sent is an error, one of what is not subscribed is not.
func TestAckBeyond(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, anybody)
	c.now("/a")
	r.publish("/a", "x")
	c.want("/a:2")
	c.do(func(s *session.Session) {
		if err := s.Ack("/a", 3); message.CodeOf(err) != message.BadRequest {
			t.Error(err)
		}
		if err := s.Ack("/b", 3); err != nil {
			t.Error(err)
		}
	})
}

// A connection that takes no more is sent nothing, and goes on when it does.
func TestBlocked(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, anybody)
	c.now("/a")
	c.do(func(*session.Session) { c.conn.blocked = true })
	r.publish("/a", "x", "x")
	c.silent()
	c.do(func(s *session.Session) { c.conn.blocked = false; s.Writable() })
	c.want("/a:2", "/a:3")
	r.publish("/a", "x")
	c.want("/a:4")
}

// Who falls behind further than the shard remembers reads the log, and is live
// again.
func TestBehindTheRing(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRig(t, rigOptions{dir: dir, limits: session.Limits{Window: 100_000, WindowBytes: 1 << 30}})
		c := r.connect(0, anybody)
		c.now("/a")
		c.do(func(*session.Session) { c.conn.blocked = true })
		first := r.publish("/a", "x")
		const n = 40
		for range n {
			r.publish("/a", strings.Repeat("x", 20_000))
		}
		c.do(func(s *session.Session) { c.conn.blocked = false; s.Writable() })
		last := message.Offset(0)
		for i := range n + 1 {
			e := <-c.events
			if e.previous != last || e.kind != "message" || i == 0 && e.offset != first {
				t.Fatalf("%v follows %d", e, last)
			}
			last = e.offset
		}
		next := r.publish("/a", "x")
		if e := <-c.events; e.offset != next || e.previous != last {
			t.Fatalf("%v follows %d", e, last)
		}
		c.silent()
	}
}

// Every way in which a position cannot be served whole is a gap.
func TestGaps(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRig(t, rigOptions{dir: dir, store: engine.Rule{Messages: 2}})
		before := r.at(1)
		r.publish("/a", "x", "x", "x", "x", "x") // 2 to 6, of which two stay
		c := r.connect(0, anybody)
		c.after("/a", r.at(3))
		c.want("/a[3-4]expired", "/a:5", "/a:6", "/a@6")
		c.after("/a", r.at(5))
		c.want("/a:6", "/a@6")
		c.after("/a", message.Position{})
		c.want("/a:5", "/a:6", "/a@6")
		c.after("/a", message.Position{Epoch: 77, Offset: 3})
		c.want("/a[3-4]epoch", "/a:5", "/a:6", "/a@6")
		c.after("/a", r.at(100))
		c.want("/a[100-6]epoch", "/a@6")
		c.after("/b", message.Position{Epoch: 77, Offset: 3}) // of a channel that was never used
		c.want("/b[3-6]epoch", "/b@6")
		r.publish("/b", "x")
		c.want("/b:7")

		r.restart()
		c = r.connect(0, anybody)
		c.after("/a", message.Position{Epoch: before.Epoch, Offset: 5})
		next := r.publish("/a", "x")
		c.want("/a:6")
		for e := range c.events { // the at and the live message meet
			if e.kind == "message" {
				if e.offset != next || e.previous != 6 {
					t.Fatalf("%v", e)
				}
				break
			}
		}
	}
}

// Of a channel that the engine has forgotten, a position before its end is a
// gap, also where the position is of this run.
func TestForgottenChannelIsAGap(t *testing.T) {
	r := newRig(t, rigOptions{store: engine.Rule{Age: time.Minute}})
	r.publish("/a", "x", "x", "x")
	r.clock.add(time.Hour)
	r.engine.(*memory.Engine).Forget("/a")
	r.publish("/b", "x")
	c := r.connect(0, anybody)
	c.after("/a", r.at(2))
	c.want("/a[2-4]expired", "/a@5")
	r.publish("/a", "x")
	c.want("/a:6")
}

// hold has the workers wait, so that no read of the log is answered before
// release.
func (r *rig) hold() (release func()) {
	gate := make(chan struct{})
	for range 2 {
		r.broker.Go(func() { <-gate })
	}
	return func() { close(gate) }
}

// A read of the log that is under way when its subscription ends or moves brings
// nothing.
func TestReadOutlived(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a", "x", "x")
	c := r.connect(0, session.Request{Who: alice})
	for what, end := range map[string]func(){
		"unsubscribe": func() { c.unsubscribe("/a") },
		"detach":      func() { c.detach() },
	} {
		release := r.hold()
		c.after("/a", message.Position{})
		end()
		release()
		r.settle()
		if len(c.events) > 0 {
			t.Fatalf("%s: %v came", what, <-c.events)
		}
		c = r.connect(0, session.Request{Who: alice})
	}
	release := r.hold()
	c.after("/a", message.Position{})
	c.after("/a", r.at(2))
	release()
	c.want("/a:3", "/a@3")
	c.silent()
}

// However many channels catch up at once, what was sent and not acknowledged
// stays within the session's limit of bytes, and all of it comes in the end.
func TestCatchingUpKeepsTheLimit(t *testing.T) {
	const channels, each, size, limit = 40, 10, 6000, 200 << 10
	r := newRig(t, rigOptions{limits: session.Limits{Window: 1000, WindowBytes: limit}})
	var marks []session.Mark
	for i := range channels {
		name := channel.Name(fmt.Sprintf("/a/%d", i))
		marks = append(marks, mark(name, message.Position{}))
		for range each {
			r.publish(name, strings.Repeat("x", size))
		}
	}
	c := r.connect(0, anybody, marks...)
	last := map[channel.Name]message.Offset{}
	for came, through := 0, 0; came < channels*each || through < channels; {
		r.settle()
		burst, n := 0, len(c.events)
		if n == 0 {
			t.Fatalf("%d messages came, and then nothing", came)
		}
		for range n {
			e := <-c.events
			if e.kind == "at" {
				through++
				continue
			}
			if e.kind != "message" || e.previous != last[e.ch] {
				t.Fatalf("%v follows %d", e, last[e.ch])
			}
			last[e.ch] = e.offset
			came++
			burst += len(e.data)
		}
		if burst > limit+3*size { // of the reads at a time each may end with one too many
			t.Fatalf("%d bytes came without an ack; the limit is %d", burst, limit)
		}
		for name, offset := range last {
			c.ack(name, offset)
		}
	}
}

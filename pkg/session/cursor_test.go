package session_test

import (
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A cursor is what was acknowledged: by ack, or where the client itself counts
// its position as that. It only moves forward.
func TestCursor(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a", "x", "x", "x", "x", "x", "x", "x", "x", "x") // 2 to 10
	c := r.connect(0, named)
	c.after("/a", r.at(4))
	c.want("/a:5", "/a:6", "/a:7", "/a:8", "/a:9", "/a:10", "/a@10")
	if at := c.cursor("/a"); at != 4 {
		t.Fatalf("the cursor is %d after the start at 4", at)
	}
	c.ack("/a", 7)
	c.detach()
	old := r.epoch()
	r.restart()
	d := r.connect(0, named, mark("/a", message.Position{Epoch: old, Offset: 5}))
	d.want("/a:6r", "/a:7r", "/a:8r", "/a:9r", "/a:10r")
	d.ack("/a", 6)
	d.now("/b") // saves the session whole
	if at := d.cursor("/a"); at != 7 {
		t.Fatalf("the cursor has moved back to %d", at)
	}
	d.ack("/a", 9)
	if at := d.cursor("/a"); at != 9 {
		t.Fatalf("the cursor is %d, want 9", at)
	}
}

// What an earlier process of a client may have had is marked also where the
// process that has taken its place loses its connection meanwhile, and the server
// its memory.
func TestRedeliveredInPieces(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t, rigOptions{})
		c := r.connect(0, byApp)
		c.after("/a", message.Position{})
		c.want("/a@1")
		r.publish("/a", "x", "x", "x") // 2 to 4
		c.want("/a:2", "/a:3", "/a:4")
		c.detach()
		d := r.connect(1, byApp)
		d.want("/a:2r", "/a:3r", "/a:4r", "/a@4") // and its network loses the last two
		d.detach()
		at := r.at(2)
		if restart {
			r.restart()
		}
		d = r.connect(0, byApp, mark("/a", at))
		d.want("/a:3r", "/a:4r")
		for e := range d.events { // where the server stands
			if e.kind == "at" {
				break
			}
			t.Fatalf("got %v", e)
		}
		r.publish("/a", "x")
		if e := <-d.events; e.redelivered {
			t.Errorf("%v was never sent before", e)
		}
	}
}

// What a client claims to have of this run, and has acknowledged before the log has
// confirmed it, is no acknowledgement, and none of a run that there never was stays one.
func TestAckOfAClaim(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a", "x", "x", "x")
	nowhere, beyond := message.Position{Epoch: 77, Offset: 1 << 40}, r.at(1<<40)
	for _, claims := range [][]message.Position{{nowhere}, {beyond}, {nowhere, beyond}} {
		c, claim := r.connect(0, named), claims[0]
		release := r.hold()
		c.after("/a", claim)
		c.ack("/a", claim.Offset)
		saved := make(chan error, 1)
		c.do(func(s *session.Session) { s.Save(func(err error) { saved <- err }) })
		must(t, <-saved)
		stored := r.stored("laptop").Subscriptions[0].Cursor.Position
		if stored.Offset > 4 && stored.Epoch == r.epoch() {
			t.Errorf("the stored cursor is %v", stored)
		}
		for _, another := range claims[1:] {
			c.after("/a", another)
		}
		release()
		if e := <-c.events; e.kind != "gap" {
			t.Error(e)
		}
		if at := c.cursor("/a"); at > 4 {
			t.Errorf("the cursor stays %v", at)
		}
		c.unsubscribe("/a")
	}
	c := r.connect(0, named)
	release := r.hold()
	c.after("/a", nowhere)
	c.now("/a")
	release()
	if at := c.cursor("/a"); at != 4 {
		t.Errorf("from now on: the cursor is %v", at)
	}
}

// What a client has of an earlier run is its cursor from the start: a server that is
// killed before it has looked does not send it again, to a client that has forgotten.
func TestStartInAnEarlierRun(t *testing.T) {
	for _, q := range []session.Request{named, byApp} {
		r := newRig(t, rigOptions{})
		r.publish("/a", "x", "x", "x") // 2 to 4
		has := r.at(3)
		r.restart()
		r.publish("/a", "x")
		c := r.connect(0, q)
		release := r.hold()
		c.after("/a", has)
		atOnce := r.stored("laptop")
		release()
		c.want("/a:4", "/a:6", "/a@6")
		if at := c.cursor("/a"); at != has.Offset {
			t.Errorf("the cursor is %v when the start is confirmed", at)
		}
		c.detach()
		r.stop() // as if it had been killed before
		saved := make(chan error, 1)
		r.engine.SaveSession(atOnce, func(err error) { saved <- err })
		must(t, <-saved)
		r.start()
		r.connect(0, q).want("/a:4r", "/a:6r")
	}
}

// A cursor that was stored as a client claimed it, and is of a run that there never
// was, is a gap to who takes it up, and then one of this history.
func TestStoredClaim(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a", "x", "x", "x")
	c := r.connect(0, byApp)
	c.now("/a")
	claimed := r.stored("laptop")
	claimed.Subscriptions[0].Cursor.Position = message.Position{Epoch: 77, Offset: 1 << 40}
	r.stop()
	saved := make(chan error, 1)
	r.engine.SaveSession(claimed, func(err error) { saved <- err })
	must(t, <-saved)
	r.start()
	d := r.connect(0, byApp)
	if e := <-d.events; e.kind != "gap" || e.why != "epoch" {
		t.Fatal(e)
	}
	if at := d.cursor("/a"); at > 4 {
		t.Errorf("the cursor is %v", at)
	}
}

// An ack of what the client has, before the log has confirmed it, counts then.
func TestEarlyAck(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a", "x", "x", "x")
	c := r.connect(0, byApp)
	c.after("/a", message.Position{})
	c.want("/a:2", "/a:3", "/a:4", "/a@4")
	c.detach()
	old := r.epoch()
	r.restart()
	d := r.connect(0, byApp)
	d.want("/a:2r", "/a:3r", "/a:4r")
	release := r.hold()
	d.after("/a", message.Position{Epoch: old, Offset: 4})
	d.ack("/a", 3)
	release()
	if at := d.cursor("/a"); at != 3 {
		t.Fatalf("the cursor is %d, want 3", at)
	}
}

// With acks by the application, positions of the client do not move the cursor,
// those of another history included.
func TestManual(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a", "x", "x", "x", "x") // 2 to 5
	c := r.connect(0, byApp)
	c.after("/a", message.Position{})
	c.want("/a:2", "/a:3", "/a:4", "/a:5", "/a@5")
	c.ack("/a", 2)
	for _, at := range []message.Position{r.at(4), r.at(5), r.at(1 << 30), {Epoch: 77, Offset: 1 << 30}} {
		c.after("/a", at)
		if at := c.cursor("/a"); at != 2 {
			t.Fatalf("the cursor is %d, want 2", at)
		}
	}
}

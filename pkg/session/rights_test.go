package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A reload takes away what is not allowed any more, live or behind; what is kept
// back by the window does not come either, nor does the past by any way.
func TestRevoked(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{Window: 2}})
	c := r.connect(0, named)
	c.now("/a", "/b")
	r.publish("/a", "x", "x", "x")
	c.want("/a:2", "/a:3")
	r.reload(rule(t, "/a", "user:bob"), rule(t, "/**", "*"))
	c.want("/a!forbidden")
	c.ack("/a", 3)
	r.publish("/a", "x")
	r.publish("/b", "x")
	c.want("/b:6")
	if err := c.subscribe("/a", session.Start{Given: true}).Err; message.CodeOf(err) != message.Forbidden {
		t.Errorf("got %v", err)
	}
	c.silent()
	if n := len(r.stored("laptop").Subscriptions); n != 1 {
		t.Errorf("%d subscriptions are stored", n)
	}
	d := r.connect(0, named, mark("/a", r.at(2)))
	for _, result := range d.results {
		if (result.Err != nil) != (result.Channel == "/a") {
			t.Errorf("%v", result)
		}
	}
}

// A detached session is judged when its client comes back.
func TestRevokedWhileAway(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, session.Request{Who: alice})
	c.now("/a", "/b")
	r.publish("/a", "x")
	c.want("/a:2")
	c.detach()
	r.reload(rule(t, "/b", "*"))
	d := r.connect(0, c.request(alice))
	d.want("/b@2")
	if len(d.results) != 2 || message.CodeOf(d.results[0].Err) != message.Forbidden || d.results[1].Err != nil {
		t.Fatalf("%v", d.results)
	}
	r.publish("/a", "x")
	d.silent()
}

// A reload ends the connections of users who are no more, and sends those away to
// come back of whom that cannot be found out: an authenticator with a grace says
// so only after it.
func TestUserGone(t *testing.T) {
	r := newRig(t, rigOptions{})
	a, b, nobody := r.connect(0, session.Request{Who: alice}), r.connect(1, session.Request{Who: who("bob")}), r.connect(0, anybody)
	for _, c := range []*client{a, b, nobody} {
		c.now("/a")
	}
	r.users.set(func() { r.users.gone["alice"] = true })
	r.reload(r.rules...)
	a.want("bye unauthorized")
	r.users.set(func() { r.users.failed = errors.New("the directory is down") })
	r.reload(r.rules...)
	r.publish("/a", "x")
	b.want("bye unavailable")
	nobody.want("/a:2")
	a.silent()
}

// Only those who are concerned are looked up again.
func TestRecheckWhere(t *testing.T) {
	r := newRig(t, rigOptions{})
	a, b, nobody := r.connect(0, session.Request{Who: alice}), r.connect(1, session.Request{Who: who("bob")}), r.connect(0, anybody)
	for _, c := range []*client{a, b, nobody} {
		c.now("/a")
	}
	connected, err := r.sessions.Connected(t.Context())
	if err != nil || len(connected) != 2 {
		t.Fatalf("%d are connected, %v", len(connected), err)
	}
	r.users.set(func() { r.users.gone["alice"], r.users.gone["bob"] = true, true })
	err = r.sessions.RecheckWhere(t.Context(), func(w *broker.Who) bool {
		_, user := w.Owner()
		return user == "bob"
	})
	if err != nil {
		t.Fatal(err)
	}
	b.want("bye unauthorized")
	r.publish("/a", "x")
	a.want("/a:2")
	if connected, _ := r.sessions.Connected(t.Context()); len(connected) != 1 {
		t.Errorf("%d are connected", len(connected))
	}
}

// A client that proves another identity while a reload looks at it is looked at
// again: what it had proven before does not stay unlooked at.
func TestIdentityAddedDuringAReload(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, session.Request{Who: alice})
	c.now("/a", "/b")
	changes := 1
	var looks int
	r.users.set(func() {
		r.users.during = func() {
			if looks++; looks <= changes {
				c.do(func(s *session.Session) {
					s.SetWho(s.Who().With("b", &auth.Identity{User: "bea", Realm: "names"}))
				})
			}
		}
	})
	r.reload(rule(t, "/b", "user:bea"))
	c.want("/a!forbidden")
	r.publish("/a", "x")
	r.publish("/b", "x")
	c.want("/b:3")
	changes, looks = 1<<30, 0
	r.reload(rule(t, "/b", "user:bea"))
	c.want("bye unavailable")
}

// With a slow directory the looks together have the time of one: who proves another identity
// within each is sent away behind it, and is delivered no more.
func TestIdentitiesAddedForLong(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, session.Request{Who: alice})
	c.now("/a")
	looks := 0
	r.users.set(func() {
		r.users.during = func() {
			looks++
			r.clock.add(5 * time.Second)
			c.do(func(s *session.Session) {
				s.SetWho(s.Who().With("b", &auth.Identity{User: "bea", Realm: "names"}))
			})
		}
	})
	r.reload(r.rules...)
	c.want("bye unavailable")
	if looks > 3 { // each asks for alice, and the later ones for bea
		t.Errorf("%d looks", looks)
	}
}

// However many looks at a client overlap, it stays where they find nothing else.
func TestRechecksOverlap(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, session.Request{Who: alice})
	c.now("/a")
	asked := make(chan chan struct{})
	r.users.set(func() {
		r.users.during = func() {
			answer := make(chan struct{})
			asked <- answer
			<-answer
		}
	})
	const n = 4
	over := make(chan error, n)
	for range n {
		go func() { over <- r.sessions.Recheck(t.Context()) }()
	}
	var answers []chan struct{}
	for left, wave := n, n; left > 0; {
		select {
		case answer := <-asked: // and it looks again, with the others
			if answers = append(answers, answer); len(answers) < wave {
				continue
			}
			for _, answer := range answers {
				close(answer)
			}
			answers, wave = nil, wave-1
		case err := <-over:
			must(t, err)
			left--
		}
	}
	r.publish("/a", "x")
	c.want("/a:2")
}

// The connection ends when its identity does. That of one application takes along
// no more than what it had there, and leaves nothing to who the client is elsewhere.
func TestIdentityExpires(t *testing.T) {
	r := newRig(t, rigOptions{})
	until := func(user string, d time.Duration) *auth.Identity {
		return &auth.Identity{User: user, Realm: "names", Expires: r.clock.now().Add(d)}
	}
	r.reload(rule(t, "/b", "@authenticated"), rule(t, "/**", "*"))
	c := r.connect(0, session.Request{Who: broker.NewWho(until("alice", 2*time.Minute)).With("b", until("bea", time.Minute))})
	c.now("/a", "/b")
	r.pass(59 * time.Second)
	c.silent()
	r.pass(time.Second)
	c.want("/b!unauthorized")
	r.publish("/a", "x")
	c.want("/a:2")
	if err := c.subscribe("/b", session.Start{}).Err; message.CodeOf(err) != message.Unauthorized {
		t.Errorf("got %v", err)
	}
	c.do(func(s *session.Session) { s.Become(s.Who().With("b", until("ben", time.Hour))) })
	must(t, c.subscribe("/b", session.Start{}).Err)
	r.pass(time.Minute)
	c.want("bye unauthorized")
}

// After the loops have ended, a recheck waits no longer than its context.
func TestRecheckAfterTheEnd(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.sessions.Recheck(ctx); err == nil {
		t.Error("nobody has been looked at")
	}
}

// Who loses the right while the subscription is being stored is told so by the
// answer, and not by a revocation that comes before it.
func TestRevokedBeforeTheAnswer(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, named)
	c.now("/b")
	release := r.saves.holdUp()
	results := make(chan session.Result, 1)
	c.do(func(s *session.Session) {
		s.Subscribe("/a", session.Start{}, func(result session.Result) { results <- result })
	})
	r.reload(rule(t, "/b", "*"))
	release()
	if err := (<-results).Err; message.CodeOf(err) != message.Forbidden {
		t.Errorf("got %v", err)
	}
	r.publish("/a", "x")
	r.publish("/b", "x")
	c.want("/b:3")
	c.silent()
}

// The same while a session is taken up.
func TestRevokedBeforeTheSessionIsTakenUp(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.connect(0, named).now("/a", "/b")
	release := r.saves.holdUp()
	d, opened := &client{r: r, events: make(chan event, 100)}, make(chan struct{})
	d.conn = &conn{heard: func(e event) { d.events <- e }}
	d.opened = func() { close(opened) }
	connected := make(chan error, 1)
	go func() { connected <- d.open(1, named) }()
	<-opened
	r.reload(rule(t, "/b", "*"))
	release()
	must(t, <-connected)
	if len(d.results) != 2 || message.CodeOf(d.results[0].Err) != message.Forbidden || d.results[1].Err != nil {
		t.Errorf("%v", d.results)
	}
	r.publish("/a", "x")
	d.want("/b@1")
	d.silent()
}

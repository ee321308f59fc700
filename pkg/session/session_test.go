package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

var anybody = session.Request{}

func mark(name channel.Name, p message.Position) session.Mark {
	return session.Mark{Channel: name, After: p}
}

// A session is taken up by its secret; each channel goes on where the client
// says, the others at the cursor, marked as redelivered.
func TestResume(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, anybody)
	c.now("/a", "/b")
	r.publish("/a", "x", "x")
	r.publish("/b", "x", "x")
	c.want("/a:2", "/a:3", "/b:4", "/b:5")
	c.ack("/b", 4)
	c.detach()
	r.publish("/a", "x")
	r.publish("/b", "x")
	d := r.connect(1, c.request(nil), mark("/a", r.at(2)), mark("/c", message.Position{}))
	if !d.resumed || len(d.results) != 3 || d.session != c.session {
		t.Fatalf("resumed %v with %v", d.resumed, d.results)
	}
	seen := map[channel.Name][]string{}
	for range 7 {
		e := <-d.events
		seen[e.ch] = append(seen[e.ch], e.String())
	}
	for name, want := range map[channel.Name]string{
		"/a": "/a:3 /a:6 /a@7", "/b": "/b:5r /b:7r /b@7", "/c": "/c@7",
	} {
		if got := strings.Join(seen[name], " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	c.silent()
}

// A newer connection displaces the older one, which from then on counts for
// nothing, from whichever loop it comes.
func TestDisplaced(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, anybody)
	c.now("/a")
	d := r.connect(1, c.request(nil))
	c.want("bye displaced")
	d.want("/a@1")
	c.detach() // comes late
	r.publish("/a", "x")
	d.want("/a:2")
	c.silent()
}

// The secret selects and does not authenticate; the one before the newest stays
// good until its successor was used.
func TestSecrets(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, session.Request{Who: alice})
	id, first := c.session.ID(), c.secret
	for _, wrong := range []session.Request{
		{Who: who("bob"), ID: id, Secret: first},
		{ID: id, Secret: first},
		{Who: alice, ID: id, Secret: "x" + first},
		{Who: alice, ID: id},
		{Who: alice, ID: "nonsense", Secret: first},
		{Who: alice, ID: id + "A", Secret: first},
	} {
		if d := r.connect(0, wrong); d.resumed || d.session == c.session {
			t.Errorf("%v took the session up", wrong)
		}
	}
	c.silent() // was not displaced
	second := r.connect(0, session.Request{Who: alice, ID: id, Secret: first}).secret
	lost := r.connect(0, session.Request{Who: alice, ID: id, Secret: first}).secret // the answer before got lost
	if r.connect(0, session.Request{Who: alice, ID: id, Secret: second}).resumed {
		t.Error("a secret that was replaced unused is good")
	}
	if d := r.connect(0, session.Request{Who: alice, ID: id, Secret: lost}); !d.resumed {
		t.Error("the newest secret is not good")
	} else if e := r.connect(0, session.Request{Who: alice, ID: id, Secret: d.secret}); !e.resumed {
		t.Error("the next is not good")
	}
	if r.connect(0, session.Request{Who: alice, ID: id, Secret: first}).resumed {
		t.Error("a secret is good after its successor was used")
	}
}

// What a client of a named session offers as a secret is not one by that.
func TestOfferedSecretIsNotKept(t *testing.T) {
	r := newRig(t, rigOptions{})
	q := named
	q.Secret = "made up"
	c := r.connect(0, q)
	if r.connect(0, session.Request{Who: alice, ID: c.session.ID(), Secret: "made up"}).resumed {
		t.Error("it is good")
	}
}

// A session without a name lives for its time after its connection, and one that
// is being taken up does not end on the way.
func TestTTL(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{TTL: time.Minute}})
	c := r.connect(0, anybody)
	c.now("/a")
	r.pass(time.Hour) // it is connected
	c.detach()
	r.pass(59 * time.Second)
	d := r.connect(1, c.request(nil))
	if !d.resumed {
		t.Fatal("it has ended too early")
	}
	d.detach()
	r.pass(59 * time.Second)
	found, err := r.find(1, d.request(nil))
	must(t, err)
	r.pass(30 * time.Second)
	e := &client{r: r, conn: &conn{heard: func(event) {}}}
	r.on(found.Part().Index(), func() {
		if _, resumed, ok := found.Attach(e.conn, d.request(nil)); !ok || !resumed {
			t.Error("it has ended while it was being taken up")
		}
		found.Detach(e.conn)
	})
	r.pass(time.Minute)
	if n := r.sessions.Count(); n != 0 {
		t.Fatalf("%d sessions are left", n)
	}
	if r.connect(0, d.request(nil)).resumed {
		t.Fatal("it has not ended")
	}
}

// A session without a subscription, of which no quota knows, does not wait for long without
// a client, also where that one has come back to it; with one it waits for its time.
func TestTTLWithoutSubscriptions(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{TTL: time.Minute}})
	left := func(want int) {
		t.Helper()
		if n := r.sessions.Count(); n != want {
			t.Fatalf("%d sessions are left, want %d", n, want)
		}
	}
	c := r.connect(0, anybody)
	r.pass(time.Hour) // it is connected
	if ttl := c.session.TTL(); ttl != time.Minute {
		t.Errorf("its client is told %v", ttl)
	}
	c.detach()
	d := r.connect(1, c.request(nil))
	if !d.resumed {
		t.Fatal("it has ended too early")
	}
	d.detach()
	subscribed := r.connect(0, anybody)
	subscribed.now("/a")
	subscribed.detach()
	byName := r.connect(0, named)
	byName.detach()
	r.pass(9 * time.Second)
	left(3)
	r.pass(time.Second)
	left(2)
	r.pass(49 * time.Second)
	left(2)
	r.pass(time.Second)
	left(0)
}

// A session that has ended cannot be attached to any more.
func TestAttachAfterTheEnd(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{TTL: time.Minute}})
	s, err := r.find(0, anybody)
	must(t, err)
	r.pass(time.Hour)
	r.on(0, func() {
		if _, _, ok := s.Attach(&conn{}, anybody); ok {
			t.Error("attached")
		}
	})
}

// The bounds on sessions and channels are refusals that name their keys.
func TestBounds(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{Sessions: 2, Channels: 2}})
	c := r.connect(0, anybody)
	r.connect(1, anybody)
	for _, q := range []session.Request{anybody, named} {
		if _, err := r.tryConnect(0, q); message.CodeOf(err) != message.Unavailable || !strings.Contains(err.Error(), "session.max_sessions") {
			t.Errorf("got %v", err)
		}
	}
	c.now("/a", "/b", "/a")
	if err := c.subscribe("/c", session.Start{}).Err; message.CodeOf(err) != message.TooLarge || !strings.Contains(err.Error(), "session.max_channels") {
		t.Errorf("got %v", err)
	}
	c.unsubscribe("/a", "/a")
	c.now("/c")
	d := r.connect(0, c.request(nil), mark("/x", message.Position{}), mark("/b", r.at(1)))
	var refused []channel.Name
	for _, result := range d.results {
		if result.Err != nil {
			refused = append(refused, result.Channel)
		}
	}
	if len(refused) != 1 || refused[0] != "/x" {
		t.Errorf("refused %v", refused)
	}
	if _, err := r.tryConnect(0, session.Request{Name: "laptop"}); message.CodeOf(err) != message.Unauthorized {
		t.Errorf("an anonymous named session: %v", err)
	}
}

// A named session is stored: its subscriptions, and the cursor as it was
// acknowledged; it comes back in another process.
func TestNamedSession(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRig(t, rigOptions{dir: dir})
		c := r.connect(0, named)
		if c.resumed {
			t.Fatal("it was there before")
		}
		c.now("/a", "/b", "/c")
		r.publish("/a", "x", "x", "x")
		first := (<-c.events).offset
		c.want("/a:"+itoa(first+1), "/a:"+itoa(first+2))
		c.ack("/a", first)
		c.unsubscribe("/c")
		saved := make(chan error, 1)
		c.do(func(s *session.Session) { s.Save(func(err error) { saved <- err }) })
		must(t, <-saved)
		if at := c.cursor("/a"); at != first {
			t.Fatalf("the cursor is %d, want %d", at, first)
		}
		r.restart()
		d := r.connect(1, named)
		if !d.resumed || len(d.results) != 2 {
			t.Fatalf("resumed %v with %v", d.resumed, d.results)
		}
		d.wantOf("/a", "/a:"+itoa(first+1)+"r", "/a:"+itoa(first+2)+"r")
		for _, other := range []session.Request{{Who: who("bob"), Name: "laptop"}, {Who: alice, Name: "phone"}} {
			if o := r.connect(0, other); o.resumed || len(o.results) > 0 {
				t.Errorf("%v got %v", other, o.results)
			}
		}
	}
}

func itoa(o message.Offset) string { return event{kind: "at", offset: o}.String()[1:] }

// Several connections may ask for one named session at once, on all loops: there
// is one, and the last to come has it.
func TestNamedSessionIsOne(t *testing.T) {
	r := newRig(t, rigOptions{})
	found := make(chan *session.Session, 20)
	for i := range cap(found) {
		part := i % 2
		r.reactor.Loops()[part].Post(func() {
			r.sessions.Parts()[part].Open(named, func(s *session.Session, err error) {
				if err != nil {
					t.Error(err)
				}
				found <- s
			})
		})
	}
	first := <-found
	for range cap(found) - 1 {
		if s := <-found; s != first {
			t.Fatal("there are two")
		}
	}
}

// The engine is told that a connected session was seen, so that it does not
// expire under its client.
func TestNamedSessionIsSeen(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{DurableTTL: time.Hour, TTL: time.Minute}})
	c := r.connect(0, named)
	c.now("/a")
	for range 4 {
		r.pass(40 * time.Minute)
		r.settle()
	}
	c.detach()
	r.pass(50 * time.Minute)
	if d := r.connect(0, named); !d.resumed || len(d.results) != 1 {
		t.Fatal("it has expired")
	} else {
		d.detach()
	}
	r.pass(2 * time.Hour)
	if r.connect(0, named).resumed {
		t.Fatal("it has not expired")
	}
}

// A save that fails says so, and the engine's error comes through.
func TestSaveFails(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.engine.(*memory.Engine).Refuse(message.Errorf(message.Unavailable, "the disk is full"))
	if _, err := r.tryConnect(0, named); message.CodeOf(err) != message.Unavailable {
		t.Fatalf("got %v", err)
	}
	r.connect(0, anybody) // has nothing to save
	r.engine.(*memory.Engine).Refuse(nil)
	r.connect(0, named)
}

// What could not be stored did not happen: what was subscribed is, and no more.
func TestNotStored(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, named)
	c.now("/a")
	r.saves.failWith(message.Errorf(message.Unavailable, "the disk is full"))
	for _, name := range []channel.Name{"/a", "/b"} {
		if err := c.subscribe(name, session.Start{}).Err; message.CodeOf(err) != message.Unavailable {
			t.Errorf("%s: got %v", name, err)
		}
	}
	r.publish("/b", "x")
	r.publish("/a", "x")
	c.want("/a:3")
	ended := make(chan error, 1)
	c.do(func(s *session.Session) { s.Unsubscribe("/a", func(err error) { ended <- err }) })
	if err := <-ended; message.CodeOf(err) != message.Unavailable {
		t.Errorf("got %v", err)
	}
	r.publish("/a", "x")
	c.want("/a:4")
	r.saves.failWith(nil)
	c.unsubscribe("/a")
	r.publish("/a", "x")
	c.silent()
}

// An unsubscribe that is still being stored takes nothing from the connection
// that has taken the session up meanwhile.
func TestUnsubscribedByAnEarlierConnection(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.connect(0, named)
	c.now("/a")
	release := r.saves.holdUp()
	ended := make(chan error, 1)
	c.do(func(s *session.Session) { s.Unsubscribe("/a", func(err error) { ended <- err }) })
	d, opened := &client{r: r, events: make(chan event, 100)}, make(chan struct{})
	d.conn = &conn{heard: func(e event) { d.events <- e }}
	d.opened = func() { close(opened) }
	connected := make(chan error, 1)
	go func() { connected <- d.open(1, named) }()
	<-opened
	release()
	must(t, <-ended)
	must(t, <-connected)
	d.want("/a@1")
	r.publish("/a", "x")
	d.want("/a:2")
	if n := len(r.stored(named.Name).Subscriptions); n != 1 {
		t.Errorf("%d subscriptions are stored", n)
	}
}

package session_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A marked is a conn whose client keeps one position for all channels.
type marked struct{ *conn }

func (c marked) Mark(p message.Position) { c.heard(event{kind: "at", offset: p.Offset}) }

// follow opens a session whose channels are a feed, and starts it.
func (r *rig) follow(part int, start session.Start, names ...channel.Name) *client {
	r.t.Helper()
	c := &client{r: r, events: make(chan event, 100_000)}
	c.conn = &conn{heard: func(e event) { c.events <- e }}
	r.on(part, func() {
		s, err := r.sessions.Parts()[part].Create(session.Request{})
		if err != nil {
			r.t.Error(err)
			return
		}
		m := marked{c.conn}
		c.secret, _, _ = s.Attach(m, session.Request{})
		c.session = s
		c.results = s.Follow(names, start, m)
		s.Start()
	})
	return c
}

func (c *client) leave() { c.do(func(s *session.Session) { s.Detach(marked{c.conn}) }) }

func (c *client) block(blocked bool) {
	c.do(func(s *session.Session) {
		if c.conn.blocked = blocked; !blocked && s.Conn() != nil {
			s.Writable()
		}
	})
}

// through waits until a feed has caught up with an offset.
func (c *client) through(offset message.Offset) {
	c.r.t.Helper()
	deadline := time.Now().Add(patience)
	for at := message.Offset(0); at < offset; {
		c.r.settle()
		c.do(func(s *session.Session) {
			if p, ok := s.Position(); ok {
				at = p.Offset
			}
		})
		if time.Now().After(deadline) {
			c.r.t.Fatalf("at %d, want %d", at, offset)
		}
	}
}

// submit stores messages on these channels as one batch.
func (r *rig) submit(names ...channel.Name) {
	msgs := make([]message.Message, len(names))
	for i, name := range names {
		msgs[i] = message.Message{Channel: name, Data: []byte("x")}
	}
	done := make(chan error, 1)
	r.engine.Submit(msgs, func(_ []engine.Receipt, err error) { done <- err })
	must(r.t, <-done)
}

// Messages of several channels come in the order of their offsets, live and
// replayed, from memory and from the log.
func TestFeedIsInOrder(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.follow(0, session.Start{}, "/a", "/b", "/c")
	c.want("@1")
	r.submit("/a", "/b", "/other", "/c", "/a", "/b")
	c.want("/a:2", "/b:3", "/c:5", "/a:6", "/b:7")
	d := r.follow(1, session.Start{Given: true}, "/c", "/b", "/a")
	d.want("/a:2", "/b:3", "/c:5", "/a:6", "/b:7")
	e := r.follow(0, session.Start{After: r.at(5), Given: true}, "/b", "/a") // in memory there
	e.want("/a:6", "/b:7")
	c.block(true)
	r.submit("/c", "/a", "/c")
	d.want("/c:8", "/a:9", "/c:10")
	c.silent()
	c.block(false)
	c.want("/c:8", "/a:9", "/c:10")
	r.submit("/b")
	c.want("/b:11")
	c.silent()
}

// Where nothing is said of the start it is now, and there is a position at once.
func TestFeedBeginsNow(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.submit("/a", "/b")
	c := r.follow(0, session.Start{}, "/a", "/b")
	c.want("@3")
	for _, result := range c.results {
		if result.Offset != 3 || result.Err != nil {
			t.Errorf("got %+v", result)
		}
	}
	r.submit("/b")
	c.want("/b:4")
}

// The position behind a gap is one on all channels: what others have before the
// gap's end comes first.
func TestFeedGaps(t *testing.T) {
	r := newRig(t, rigOptions{store: engine.Rule{Messages: 2}})
	r.submit("/a", "/b", "/a", "/a", "/b", "/a", "/a")
	c := r.follow(0, session.Start{After: r.at(1), Given: true}, "/a", "/b")
	c.want("/b:3", "/a[1-5]expired", "@5", "/b:6", "/a:7", "/a:8")
	d := r.follow(0, session.Start{After: message.Position{Epoch: 77, Offset: 1000}, Given: true}, "/a", "/b")
	d.want("/b[1000-2]epoch", "@2", "/b:3", "/b:6", "/a[1000-6]epoch", "/a:7", "/a:8")
}

// A gap that reaches beyond what a read brought moves the position no further than
// that: other channels have more before its end.
func TestFeedGapBeyondAPage(t *testing.T) {
	r := newRig(t, rigOptions{})
	for range 100 {
		r.submit("/b", "/b", "/b", "/b")
	}
	c := r.follow(0, session.Start{After: message.Position{Epoch: 77, Offset: 1000}, Given: true}, "/a", "/b")
	gaps, last := 0, message.Offset(1)
	for last < 401 {
		switch e := <-c.events; e.kind {
		case "gap":
			gaps++
		case "message":
			if e.offset != last+1 {
				t.Fatalf("%s behind %d", e, last)
			}
			last = e.offset
		default:
			if e.offset > last {
				t.Fatalf("the position is %d, and %d was sent", e.offset, last)
			}
		}
	}
	if gaps != 2 {
		t.Errorf("%d gaps", gaps)
	}
}

// A conn that takes no more in the middle of a round.
type brittle struct {
	marked
	takes *int
}

func (c brittle) Blocked() bool {
	*c.takes--
	return *c.takes < 0
}

// Of a turn of which some was taken before the connection did not take more,
// nothing is sent that what is missing comes before.
func TestFeedFallsBehindAsOne(t *testing.T) {
	r := newRig(t, rigOptions{loops: 1})
	c := &client{r: r, events: make(chan event, 100)}
	c.conn = &conn{heard: func(e event) { c.events <- e }}
	takes := 1000
	b := brittle{marked{c.conn}, &takes}
	r.on(0, func() {
		s, err := r.sessions.Parts()[0].Create(session.Request{})
		if err != nil {
			t.Error(err)
			return
		}
		_, _, _ = s.Attach(b, session.Request{})
		c.session = s
		s.Follow([]channel.Name{"/a", "/b"}, session.Start{}, b)
		s.Start()
	})
	c.want("@1")
	r.on(0, func() { takes = 1 })
	r.submit("/b", "/a", "/b")
	c.silent()
	r.on(0, func() {
		takes = 1000
		c.session.Writable()
	})
	c.want("/b:2", "/a:3", "/b:4")
	c.silent()
}

func TestFeedRights(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.reload(rule(t, "/closed"), rule(t, "/**", "*"))
	c := r.follow(0, session.Start{}, "/a", "/closed", "/b")
	if c.results[1].Err == nil || c.results[0].Err != nil || c.results[2].Err != nil {
		t.Fatalf("got %+v", c.results)
	}
	c.want("@1")
	r.submit("/closed", "/a")
	c.want("/a:3")
	r.reload(rule(t, "/closed"), rule(t, "/b"), rule(t, "/**", "*"))
	c.want("/b!forbidden")
	r.submit("/b", "/a")
	c.want("/a:5")
	r.reload(rule(t, "/closed"))
	c.want("/a!forbidden", "bye forbidden")
	r.submit("/a")
	c.silent()
}

// A feed's session ends with its connection, and its channels are what they are.
func TestFeedSessionIsBrief(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{Channels: 2}})
	c := r.follow(0, session.Start{}, "/a", "/b", "/c")
	if message.CodeOf(c.results[2].Err) != message.TooLarge {
		t.Errorf("got %+v", c.results)
	}
	r.pass(0)
	if n := r.sessions.Count(); n != 1 {
		t.Errorf("%d sessions", n)
	}
	c.leave()
	r.pass(1)
	if n := r.sessions.Count(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// A client that keeps one position is cut off at random, behind any event, while
// messages are published on all channels and its connection takes now more and now
// less: it gets each once, and in order.
func TestFeedResumesAnywhere(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("log=%t/%d", dir != "", seed), func(t *testing.T) {
				o := rigOptions{}
				if dir != "" {
					o.dir = t.TempDir()
				}
				resumeAnywhere(t, newRig(t, o), rand.New(rand.NewPCG(seed, 1)))
			})
		}
	}
}

func resumeAnywhere(t *testing.T, r *rig, rnd *rand.Rand) {
	names := []channel.Name{"/a", "/b", "/c", "/d"}
	start := message.Position{Epoch: r.epoch(), Offset: r.engine.Status().Visible}
	var publishing sync.WaitGroup
	stop := make(chan struct{})
	theirs := rand.New(rand.NewPCG(rnd.Uint64(), 2))
	publishing.Go(func() {
		for range 400 {
			var batch []channel.Name
			for range 1 + theirs.IntN(8) {
				batch = append(batch, append(names, "/other")[theirs.IntN(5)])
			}
			r.submit(batch...)
		}
		r.submit(names[0]) // the last one is theirs
		close(stop)
	})
	var got []message.Offset
	at := start
	for ended := false; !ended; {
		select {
		case <-stop:
			ended = true // this is the last one, and sees all
		default:
		}
		c := r.follow(rnd.IntN(2), session.Start{After: at, Given: true}, names...)
		for range rnd.IntN(6) {
			c.block(rnd.IntN(2) == 0)
		}
		c.block(false)
		if ended {
			c.through(r.engine.Status().Visible)
		}
		c.leave()
		keep := len(c.events)
		if !ended {
			keep = rnd.IntN(keep + 1)
		}
		for range keep {
			e := <-c.events
			if e.kind == "message" {
				got = append(got, e.offset)
			}
			at.Offset = e.offset
		}
	}
	publishing.Wait()
	b, err := r.engine.Read(context.Background(), names, start, engine.Limit{Messages: 1 << 20, Bytes: 1 << 30})
	must(t, err)
	var want []message.Offset
	for _, m := range b.Messages {
		want = append(want, m.Offset)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d messages came, and there are %d:\n%v\n%v", len(got), len(want), got, want)
	}
}

package session_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A frame is a message for tests: one line of "channel offset previous r payload".
type lines struct{}

func (lines) Append(dst []byte, m *message.Message, redelivered bool) []byte {
	return fmt.Appendf(dst, "%s %d %d %t %s\n", m.Channel, m.Offset, m.Previous, redelivered, m.Data)
}

// An event is something that a session said to its client.
type event struct {
	kind        string // message, at, gap, revoked, bye
	ch          channel.Name
	offset      message.Offset // of a message, an at; a gap's end
	previous    message.Offset // of a message; a gap's start
	redelivered bool
	data        string
	why         string
}

// String is the short form of tests: "/a:5", "/a:5r" redelivered, "/a@5",
// "/a[2-4]expired", "/a!forbidden", "bye displaced".
func (e event) String() string {
	switch e.kind {
	case "message":
		return fmt.Sprintf("%s:%d%s", e.ch, e.offset, map[bool]string{true: "r"}[e.redelivered])
	case "at":
		return fmt.Sprintf("%s@%d", e.ch, e.offset)
	case "gap":
		return fmt.Sprintf("%s[%d-%d]%s", e.ch, e.previous, e.offset, e.why)
	case "revoked":
		return fmt.Sprintf("%s!%s", e.ch, e.why)
	}
	return "bye " + e.why
}

// A conn is a session's connection that notes what it is told. heard is called
// on the loop.
type conn struct {
	heard   func(event)
	blocked bool // of the loop
	said    bool // bye; of the loop
}

func (c *conn) Format() hub.Format { return lines{} }
func (c *conn) Blocked() bool      { return c.blocked }

func (c *conn) Frames(b []byte) {
	for line := range strings.Lines(string(b)) {
		e := event{kind: "message"}
		if _, err := fmt.Sscanf(line, "%s %d %d %t %s\n", &e.ch, &e.offset, &e.previous, &e.redelivered, &e.data); err != nil {
			panic(fmt.Sprintf("%q: %v", line, err))
		}
		c.heard(e)
	}
}

func (c *conn) At(name channel.Name, offset message.Offset) {
	c.heard(event{kind: "at", ch: name, offset: offset})
}

func (c *conn) Gap(g engine.Gap) {
	c.heard(event{kind: "gap", ch: g.Channel, previous: g.After, offset: g.To, why: string(g.Reason)})
}

func (c *conn) Revoked(name channel.Name, why *message.Error) {
	c.heard(event{kind: "revoked", ch: name, why: string(why.Code)})
}

func (c *conn) Bye(code string, _ time.Duration) {
	c.said = true
	c.heard(event{kind: "bye", why: code})
}

// A client is one connection to a session, and what it heard.
type client struct {
	r       *rig
	conn    *conn
	events  chan event
	session *session.Session

	secret  string
	resumed bool
	results []session.Result
	opened  func() // on the loop, before anything is heard
}

// connect opens a session on a part and starts it, as a transport does.
func (r *rig) connect(part int, q session.Request, marks ...session.Mark) *client {
	r.t.Helper()
	c, err := r.tryConnect(part, q, marks...)
	must(r.t, err)
	return c
}

func (r *rig) tryConnect(part int, q session.Request, marks ...session.Mark) (*client, error) {
	r.t.Helper()
	c := &client{r: r, events: make(chan event, 10_000)}
	c.conn = &conn{heard: func(e event) { c.events <- e }}
	return c, c.open(part, q, marks...)
}

func (c *client) open(part int, q session.Request, marks ...session.Mark) error {
	c.r.t.Helper()
	s, err := c.r.find(part, q)
	if err != nil {
		return err
	}
	saved := make(chan error, 1)
	c.r.on(s.Part().Index(), func() {
		var ok bool
		if c.secret, c.resumed, ok = s.Attach(c.conn, q); !ok {
			if s, err = s.Part().Create(q); err != nil {
				saved <- err
				return
			}
			c.secret, c.resumed, _ = s.Attach(c.conn, q)
		}
		c.session = s
		if c.results, err = s.Resume(marks); err != nil {
			s.Detach(c.conn)
			saved <- err
			return
		}
		if c.opened != nil {
			c.opened()
		}
		s.Save(func(err error) {
			if !c.conn.said && err == nil {
				s.Confirm(c.results)
				s.Start()
			}
			saved <- err
		})
	})
	return <-saved
}

// find is Part.Open that waits.
func (r *rig) find(part int, q session.Request) (s *session.Session, err error) {
	r.t.Helper()
	found := make(chan struct{})
	r.on(part, func() {
		r.sessions.Parts()[part].Open(q, func(opened *session.Session, e error) {
			s, err = opened, e
			close(found)
		})
	})
	<-found
	return s, err
}

// do runs f on the session's loop.
func (c *client) do(f func(s *session.Session)) {
	c.r.t.Helper()
	c.r.on(c.session.Part().Index(), func() { f(c.session) })
}

// subscribe subscribes and starts, after the session is saved.
func (c *client) subscribe(name channel.Name, start session.Start) session.Result {
	c.r.t.Helper()
	results := make(chan session.Result, 1)
	c.do(func(s *session.Session) {
		s.Subscribe(name, start, func(result session.Result) {
			if result.Err == nil {
				s.StartOne(name)
			}
			results <- result
		})
	})
	return <-results
}

// unsubscribe ends subscriptions and waits until that is stored.
func (c *client) unsubscribe(names ...channel.Name) {
	c.r.t.Helper()
	for _, name := range names {
		ended := make(chan error, 1)
		c.do(func(s *session.Session) { s.Unsubscribe(name, func(err error) { ended <- err }) })
		must(c.r.t, <-ended)
	}
}

func (c *client) now(names ...channel.Name) {
	c.r.t.Helper()
	for _, name := range names {
		must(c.r.t, c.subscribe(name, session.Start{}).Err)
	}
}

func (c *client) after(name channel.Name, p message.Position) {
	c.r.t.Helper()
	must(c.r.t, c.subscribe(name, session.Start{After: p, Given: true}).Err)
}

func (c *client) ack(name channel.Name, offset message.Offset) {
	c.r.t.Helper()
	c.do(func(s *session.Session) { must(c.r.t, s.Ack(name, offset)) })
}

func (c *client) detach() { c.do(func(s *session.Session) { s.Detach(c.conn) }) }

// request takes the client's session up again.
func (c *client) request(who *broker.Who) session.Request {
	return session.Request{Who: who, ID: c.session.ID(), Secret: c.secret}
}

// want receives these events, and none before them.
func (c *client) want(events ...string) {
	c.r.t.Helper()
	for i, want := range events {
		select {
		case e := <-c.events:
			if e.String() != want {
				c.r.t.Fatalf("event %d is %s, want %s", i, e, want)
			}
		case <-time.After(patience):
			c.r.t.Fatalf("event %d, %s, did not come", i, want)
		}
	}
}

// wantOf receives these events of one channel, and none of it before them; what
// comes meanwhile of others is passed over, for each channel is read on its own.
func (c *client) wantOf(name channel.Name, events ...string) {
	c.r.t.Helper()
	var got []string
	for len(got) < len(events) {
		select {
		case e := <-c.events:
			if e.ch == name {
				got = append(got, e.String())
			}
		case <-time.After(patience):
			c.r.t.Fatalf("of %s came %v, want %v", name, got, events)
		}
	}
	if !slices.Equal(got, events) {
		c.r.t.Fatalf("of %s came %v, want %v", name, got, events)
	}
}

// silent sees that nothing comes.
func (c *client) silent() {
	c.r.t.Helper()
	c.r.settle()
	if len(c.events) > 0 {
		c.r.t.Fatalf("%s came", <-c.events)
	}
}

func (c *client) cursor(name channel.Name) message.Offset {
	c.r.t.Helper()
	c.r.settle()
	stored := c.r.stored(named.Name)
	i := slices.IndexFunc(stored.Subscriptions, func(s engine.Subscription) bool { return s.Channel == name })
	if i < 0 {
		c.r.t.Fatalf("no subscription of %s is stored", name)
	}
	return stored.Subscriptions[i].Cursor.Position.Offset
}

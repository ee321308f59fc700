package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/local"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait that ends a test as failed.
const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A directory knows everybody by name, but for those who have gone.
type directory struct {
	mu     sync.Mutex
	gone   map[string]bool
	failed error  // what Refresh answers
	during func() // called by Refresh
}

func (d *directory) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *directory) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	return d.look(c.Token)
}

func (d *directory) look(user string) (*auth.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone[user] {
		return nil, message.Errorf(message.Unauthorized, "no such user")
	}
	return &auth.Identity{User: user, Realm: "names"}, d.failed
}

func (d *directory) Refresh(_ context.Context, id *auth.Identity) (*auth.Identity, error) {
	d.mu.Lock()
	during := d.during
	d.mu.Unlock()
	if during != nil {
		during()
	}
	return d.look(id.User)
}

func (d *directory) Vouches(string, string) bool { return true }

func (d *directory) Ended(*auth.Identity) bool { return false }

// rule is a rule that lets those named subscribe, and everybody publish.
func rule(t testing.TB, pattern string, subscribers ...string) acl.Rule {
	t.Helper()
	match, err := channel.ParsePattern(pattern)
	must(t, err)
	r := acl.Rule{Match: match, Publish: principals(t, "*")}
	r.Subscribe = principals(t, subscribers...)
	return r
}

func principals(t testing.TB, names ...string) (all []acl.Principal) {
	t.Helper()
	for _, name := range names {
		p, err := acl.ParsePrincipal(name)
		must(t, err)
		all = append(all, p)
	}
	return all
}

// A clock is set by the test.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// saves is an engine whose answers to SaveSession a test may hold back, or have
// fail.
type saves struct {
	engine.Engine
	mu   sync.Mutex
	fail error
	hold bool
	held []func()
}

func (s *saves) SaveSession(record engine.Session, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fail != nil:
		done(s.fail)
	case s.hold:
		s.held = append(s.held, func() { s.Engine.SaveSession(record, done) })
	default:
		s.Engine.SaveSession(record, done)
	}
}

func (s *saves) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// holdUp holds sessions back until release.
func (s *saves) holdUp() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, save := range s.held {
			save()
		}
		s.hold, s.held = false, nil
	}
}

// A rig is the core on real loops and a real engine, without a transport.
type rig struct {
	t     testing.TB
	opts  rigOptions
	clock *clock
	users *directory
	rules []acl.Rule

	quotas   map[string]broker.Quota
	engine   engine.Engine
	saves    *saves
	broker   *broker.Broker
	reactor  *reactor.Reactor
	sessions *session.Manager
	stopTail func()
}

type rigOptions struct {
	limits session.Limits
	loops  int         // default 2
	store  engine.Rule // of all channels
	dir    string      // of the local engine; without it, that in memory
}

func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	if o.loops == 0 {
		o.loops = 2
	}
	r := &rig{
		t: t, opts: o, clock: &clock{t: time.Unix(1_790_000_000, 0)},
		users: &directory{gone: map[string]bool{}}, rules: []acl.Rule{rule(t, "/**", "*")},
	}
	r.start()
	t.Cleanup(func() {
		r.stop()
		must(t, r.engine.Close(context.Background()))
	})
	return r
}

func (r *rig) storage(channel.Name) engine.Rule { return r.opts.store }

func (r *rig) rights() broker.Rights {
	r.t.Helper()
	policy, err := acl.Compile(r.rules)
	must(r.t, err)
	return broker.Rights{Policy: policy, Auth: r.users, Storage: r.storage, Quotas: r.quotas}
}

// start makes all parts, as a daemon does.
func (r *rig) start() {
	r.t.Helper()
	var err error
	switch last, again := r.engine.(*memory.Engine); {
	case r.opts.dir != "":
		r.engine, err = local.Open(local.Options{
			Dir: r.opts.dir, Now: r.clock.now, Rules: r.storage, SegmentSize: 1 << 20, MinFree: 1,
		})
		must(r.t, err)
	case again:
		r.engine = last.Restart(memory.Options{Now: r.clock.now, Rules: r.storage})
	default:
		r.engine = memory.New(memory.Options{Now: r.clock.now, Rules: r.storage})
	}
	r.saves = &saves{Engine: r.engine}
	r.broker, err = broker.New(broker.Options{Engine: r.saves, Rights: r.rights(), Workers: 2})
	must(r.t, err)
	r.reactor, err = reactor.New(reactor.Options{Loops: r.opts.loops, Tick: 5 * time.Millisecond, Now: r.clock.now})
	must(r.t, err)
	var hubLoops []hub.Loop
	var loops []session.Loop
	for _, l := range r.reactor.Loops() {
		hubLoops, loops = append(hubLoops, l), append(loops, l)
	}
	log := logrus.New()
	log.SetOutput(r.t.Output())
	h := hub.New(hubLoops)
	r.sessions, err = session.NewManager(session.Options{
		Broker: r.broker, Hub: h, Loops: loops, Limits: r.opts.limits, Logger: log, Now: r.clock.now,
	})
	must(r.t, err)
	r.stopTail = r.engine.Tail(h.Commit)
}

// stop ends all parts but the engine.
func (r *rig) stop() {
	r.t.Helper()
	r.stopTail()
	r.broker.Close()
	must(r.t, r.reactor.Close(context.Background()))
}

// restart is a daemon's, after which all connections are gone.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	if r.opts.dir != "" {
		must(r.t, r.engine.Close(context.Background()))
	}
	r.start()
}

// on runs f on a loop and waits for it.
func (r *rig) on(loop int, f func()) {
	r.t.Helper()
	done := make(chan struct{})
	r.reactor.Loops()[loop].Post(func() { defer close(done); f() })
	select {
	case <-done:
	case <-time.After(patience):
		r.t.Fatal("the loop does not answer")
	}
}

// settle waits until everything that is under way has come to its end: jobs of
// the workers, and what they and the engine have posted.
func (r *rig) settle() {
	r.t.Helper()
	for range 4 {
		here, leave := make(chan struct{}), make(chan struct{})
		r.engine.MoveCursors(nil)
		for range 2 { // both workers, at once
			r.broker.Go(func() { here <- struct{}{}; <-leave })
		}
		<-here
		<-here
		close(leave)
		for i := range r.reactor.Loops() {
			r.on(i, func() {}) // what was posted before has run, and its turn ends
			r.on(i, func() {})
		}
	}
}

// pass moves the clock, and waits until every loop has had a tick since.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.clock.add(d)
	for i, l := range r.reactor.Loops() {
		for seen := false; !seen; {
			r.on(i, func() { seen = !l.Now().Before(r.clock.now()) })
		}
		r.on(i, func() {})
	}
}

// reload puts rules in force.
func (r *rig) reload(rules ...acl.Rule) {
	r.t.Helper()
	r.rules = rules
	r.broker.SetRights(r.rights())
	must(r.t, r.sessions.Recheck(r.t.Context()))
}

// publish stores one message a payload and returns the last one's offset.
func (r *rig) publish(name channel.Name, payloads ...string) (last message.Offset) {
	r.t.Helper()
	for _, p := range payloads {
		receipts, err := engine.Publish(context.Background(), r.engine, message.Message{Channel: name, Data: []byte(p)})
		must(r.t, err)
		last = receipts[0].Offset
	}
	return last
}

func (r *rig) epoch() message.Epoch { return r.engine.Status().Epoch }

func (r *rig) at(offset message.Offset) message.Position {
	return message.Position{Epoch: r.epoch(), Offset: offset}
}

// stored returns a named session of alice as the engine has it.
func (r *rig) stored(name string) (found engine.Session) {
	r.t.Helper()
	must(r.t, r.engine.Sessions(context.Background(), func(s engine.Session) bool {
		if s.Name == name {
			found = s
		}
		return found.Name == ""
	}))
	return found
}

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

func who(user string) *broker.Who {
	return broker.NewWho(&auth.Identity{User: user, Realm: "names"})
}

var (
	alice = who("alice")
	named = session.Request{Who: alice, Name: "laptop"}
	byApp = session.Request{Who: alice, Name: "laptop", Manual: true}
)

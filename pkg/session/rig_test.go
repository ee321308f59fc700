package session_test

import (
	"context"
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
	held []func(error)
	scan func() // called by Sessions
}

func (s *saves) SaveSession(record engine.Session, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fail != nil:
		done(s.fail)
	case s.hold:
		s.held = append(s.held, func(err error) {
			if err != nil {
				done(err)
				return
			}
			s.Engine.SaveSession(record, done)
		})
	default:
		s.Engine.SaveSession(record, done)
	}
}

func (s *saves) Sessions(ctx context.Context, yield func(engine.Session) bool) error {
	s.mu.Lock()
	scan := s.scan
	s.mu.Unlock()
	if scan != nil {
		scan()
	}
	return s.Engine.Sessions(ctx, yield)
}

// scanWith has f called before all sessions are looked at.
func (s *saves) scanWith(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scan = f
}

func (s *saves) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// holdUp holds sessions back until release, which has the first of them fail with
// the errors that it is given.
func (s *saves) holdUp() (release func(...error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = true
	return func(errs ...error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, save := range s.held {
			var err error
			if i < len(errs) {
				err = errs[i]
			}
			save(err)
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
	must(r.t, r.broker.Close(context.Background()))
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
		r.engine.MoveCursors(nil)
		r.drainWorkers()
		for i := range r.reactor.Loops() {
			r.on(i, func() {}) // what was posted before has run, and its turn ends
			r.on(i, func() {})
		}
	}
}

// drainWorkers waits until all jobs that the workers had are done.
func (r *rig) drainWorkers() {
	here, leave := make(chan struct{}), make(chan struct{})
	for range 2 { // both workers, at once
		r.broker.Go(func() { here <- struct{}{}; <-leave })
	}
	<-here
	<-here
	close(leave)
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

func who(user string) *broker.Who {
	return broker.NewWho(&auth.Identity{User: user, Realm: "names"})
}

var (
	alice = who("alice")
	named = session.Request{Who: alice, Name: "laptop"}
	byApp = session.Request{Who: alice, Name: "laptop", Manual: true}
)

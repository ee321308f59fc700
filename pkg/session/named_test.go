package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A user has so many names, over restarts, in memory or not, until some expire; others have
// their own, and who comes back to a name is not refused.
func TestNamedLimit(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRig(t, rigOptions{dir: dir, limits: session.Limits{Named: 3, TTL: time.Minute, DurableTTL: time.Hour}})
		name := func(user string, n int) session.Request {
			return session.Request{Who: who(user), Name: fmt.Sprint("device ", n)}
		}
		refused := 0
		full := func(when string) {
			t.Helper()
			refused++
			_, err := r.tryConnect(0, name("alice", 9))
			if message.CodeOf(err) != message.TooLarge || !strings.Contains(err.Error(), "session.max_named") || !strings.Contains(err.Error(), "alice has 3 ") {
				t.Errorf("%s: %v", when, err)
			}
		}
		for n := range 3 {
			r.connect(n%2, name("alice", n)).detach()
		}
		full("three")
		r.connect(0, name("bob", 9))
		r.connect(0, session.Request{Who: who("alice")})
		r.pass(2 * time.Minute)
		full("they are not in memory")
		if !r.connect(1, name("alice", 1)).resumed {
			t.Error("an old name is new")
		}
		if n := r.refused("max_named"); n != refused || r.refused("max_sessions") != 0 {
			t.Errorf("%d are counted as refused, want %d", n, refused)
		}
		r.restart()
		full("a restart")
		r.pass(2 * time.Hour) // all have expired
		r.connect(0, name("alice", 9))
	}
}

// Those who come at once by one name are one, also where there is room for no other.
func TestLastNameAtOnce(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{Named: 1}})
	open := make(chan error, 20)
	for i := range cap(open) {
		r.reactor.Loops()[i%2].Post(func() {
			r.sessions.Parts()[i%2].Open(named, func(_ *session.Session, err error) { open <- err })
		})
	}
	for range cap(open) {
		if err := <-open; err != nil {
			t.Error(err)
		}
	}
	if _, err := r.tryConnect(0, session.Request{Who: alice, Name: "phone"}); message.CodeOf(err) != message.TooLarge {
		t.Errorf("another: %v", err)
	}
}

// Who comes by the name alone makes the secrets void that others have of the session, for
// what these still send would be carried out, and answered, on the new connection.
func TestNameVoidsSecrets(t *testing.T) {
	r := newRig(t, rigOptions{})
	first := r.connect(0, named)
	before := first.request(alice)
	second := r.connect(0, before)
	third := r.connect(1, named)
	third.do(func(s *session.Session) {
		for _, void := range []session.Request{before, second.request(alice)} {
			if s.Selects(void) {
				t.Error("a secret of before is good")
			}
		}
		if !s.Selects(third.request(alice)) {
			t.Error("the newest is not")
		}
	})
}

// A named session is also found by its id and secret where it is in memory no more: a client
// that polls gives its name once. A wrong secret or user finds nothing.
func TestNamedByItsSecret(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRig(t, rigOptions{dir: dir})
		c := r.connect(0, named)
		c.now("/a")
		c.detach()
		for _, forget := range []func(){r.restart, func() { r.pass(2 * time.Minute) }} {
			forget()
			wrong := c.request(alice)
			wrong.Secret += "x"
			for _, q := range []session.Request{wrong, c.request(who("bob")), c.request(nil)} {
				if d := r.connect(0, q); d.resumed || len(d.results) > 0 || d.session.ID() == c.session.ID() {
					t.Error("it is somebody else's")
				}
			}
			d := r.connect(1, c.request(alice))
			if !d.resumed || d.session.ID() != c.session.ID() || len(d.results) != 1 || d.session.TTL() != 30*24*time.Hour {
				t.Fatalf("resumed: %v, with %v", d.resumed, d.results)
			}
			d.detach()
			c = d
		}
		if !r.connect(0, named).resumed {
			t.Error("it is another by its name")
		}
	}
}

// While an engine that is slow counts what one user has stored, others open their
// sessions: no loop waits for it.
func TestNamedWhileCounting(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{Named: 1}})
	r.connect(0, named) // the first count
	r.pass(2 * time.Minute)
	gate, opened := make(chan struct{}), make(chan error, 2)
	open := func(part int, q session.Request) {
		r.sessions.Parts()[part].Open(q, func(_ *session.Session, err error) { opened <- err })
	}
	asked := make(chan struct{})
	r.reactor.Loops()[0].Post(func() {
		open(0, session.Request{Who: who("bob"), Name: "laptop"})
		close(asked)
		<-gate // so bob is admitted, and his session not made
	})
	<-asked
	r.drainWorkers()
	counting, done := make(chan struct{}), make(chan struct{})
	r.saves.scanWith(func() { close(counting); <-done })
	r.on(1, func() { open(1, session.Request{Who: alice, Name: "phone"}) })
	<-counting
	close(gate)
	defer close(done)
	r.on(0, func() {})
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// What could not be stored does not count for long.
func TestNamedLimitWithoutADisk(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{Named: 2, TTL: time.Second}})
	r.saves.failWith(message.Errorf(message.Unavailable, "the disk is full"))
	for n := range 2 {
		if _, err := r.tryConnect(0, session.Request{Who: alice, Name: fmt.Sprint(n)}); message.CodeOf(err) != message.Unavailable {
			t.Fatal(err)
		}
	}
	r.saves.failWith(nil)
	r.pass(2 * time.Minute)
	r.connect(0, session.Request{Who: alice, Name: "2"})
}

// refused returns how many sessions the metrics say that a limit has refused.
func (r *rig) refused(limit string) (n int) {
	r.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	must(r.t, registry.Register(r.sessions))
	families, err := registry.Gather()
	must(r.t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "orbitd_sessions_refused_total" && m.GetLabel()[0].GetValue() == limit {
				n = int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

package census_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/census"
)

// A store lists sessions, when it is let.
type store struct {
	engine.SessionStore
	asked    chan struct{} // by Sessions
	answers  chan error
	sessions []engine.Session
}

func (s *store) Sessions(_ context.Context, yield func(engine.Session) bool) error {
	s.asked <- struct{}{}
	for i := range s.sessions {
		yield(s.sessions[i])
	}
	return <-s.answers
}

func of(user string) *engine.Session { return &engine.Session{User: user} }

// While a count waits for the engine, who has room is admitted and others end; what was
// admitted meanwhile counts behind it, and what ended again does not.
func TestWhileCounting(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	s := &store{asked: make(chan struct{}), answers: make(chan error)}
	c := census.New(census.Options{
		Store: s, Limit: 2, Kinds: 1, Now: func() time.Time { return now },
		Kind: func(*engine.Session) (int, bool) { return 0, true },
	})
	type answer struct {
		ok  bool
		err error
	}
	admit := func(user string) <-chan answer {
		done := make(chan answer, 1)
		go func() {
			ok, err := c.Admit(t.Context(), of(user), 0)
			done <- answer{ok, err}
		}()
		return done
	}
	want := func(user string, want bool) {
		t.Helper()
		if a := <-admit(user); a.ok != want || a.err != nil {
			t.Errorf("%s: %v", user, a)
		}
	}
	failure := errors.New("the disk is gone")
	failing := admit("alice")
	<-s.asked
	s.answers <- failure
	if a := <-failing; a.ok || !errors.Is(a.err, failure) {
		t.Fatalf("got %v", a)
	}
	s.sessions = []engine.Session{*of("alice"), *of("bob")}
	first := admit("alice")
	<-s.asked
	s.answers <- nil
	if a := <-first; !a.ok {
		t.Fatal("there was room")
	}
	want("alice", false)

	now = now.Add(time.Hour) // what is refused has to be counted again
	refused := admit("alice")
	<-s.asked
	want("bob", true)
	want("carol", true)
	want("carol", true)
	c.Dropped(of("carol"), 0)
	s.answers <- nil
	if a := <-refused; !a.ok {
		t.Error("one of alice's has expired, and she is refused")
	}
	if n := c.Total(0); n != 5 {
		t.Errorf("%d are counted, want 5", n)
	}
	want("bob", false)
	want("carol", true)
	want("carol", false)
}

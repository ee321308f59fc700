package broker_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// An application publishes as fast as it may; another one notices nothing.
func TestPublishRate(t *testing.T) {
	c := &clock{now: time.Unix(1_790_000_000, 0)}
	r := rights(t, &directory{}, [3]string{"/**", "*", "*"})
	r.Quotas = map[string]broker.Quota{"a": {PublishRate: 10}}
	b, _ := newBroker(t, broker.Options{Rights: r, Now: c.Now})
	many := func(n int) (msgs []message.Message) {
		for range n {
			msgs = append(msgs, text("/a/1", "x"))
		}
		return msgs
	}
	for range 10 {
		_, err := publish(b, nil, text("/a/1", "x"))
		must(t, err)
	}
	refused := func(msgs ...message.Message) {
		t.Helper()
		_, err := publish(b, nil, msgs...)
		e := wantCode(t, err, message.RateLimited)
		if !strings.Contains(e.Text, "app.a.quota.publish_rate") || !errors.Is(err, engine.ErrQuota) || msgs[e.Index].Channel.App() != "a" {
			t.Error(err)
		}
	}
	refused(text("/b", "x"), text("/a/1", "x"))
	_, err := publish(b, nil, text("/b", "x"))
	must(t, err)
	b.SetRights(r) // a reload forgives nothing
	refused(text("/a/2", "x"))
	c.pass(100 * time.Millisecond)
	_, err = publish(b, nil, many(25)...) // as a whole, however large, and what follows waits for it
	must(t, err)
	c.pass(2400 * time.Millisecond)
	refused(many(1)...)
	c.pass(100 * time.Millisecond)
	_, err = publish(b, nil, many(1)...)
	must(t, err)
	refused(many(1)...)
	c.pass(time.Hour)
	_, err = publish(b, nil, many(10)...)
	must(t, err)
	refused(many(1)...)
	b.SetRights(rights(t, &directory{}, [3]string{"/**", "*", "*"}))
	_, err = publish(b, nil, many(1)...)
	must(t, err)
}

// What is refused costs its application one message, and others nothing: so the rest of
// a batch can be tried again.
func TestRefusedCostsOne(t *testing.T) {
	c := &clock{now: time.Unix(1_790_000_000, 0)}
	r := rights(t, &directory{}, [3]string{"/**", "*", "*"})
	r.Quotas = map[string]broker.Quota{"a": {PublishRate: 10}, "b": {PublishRate: 1}}
	b, _ := newBroker(t, broker.Options{Rights: r, Now: c.Now})
	keyed, changed, other := text("/a/1", "x"), text("/a/1", "changed"), text("/b", "x")
	keyed.Key, changed.Key = "k", "k"
	_, err := publish(b, nil, keyed)
	must(t, err)
	c.pass(time.Hour)
	batch := func(n int, last ...message.Message) (msgs []message.Message) {
		for range n {
			msgs = append(msgs, text("/a/1", "x"))
		}
		return append(msgs, last...)
	}
	for range 3 {
		_, err = publish(b, nil, batch(9, changed)...)
		wantCode(t, err, message.Conflict)
	}
	_, err = publish(b, nil, other)
	must(t, err)
	_, err = publish(b, nil, batch(5, other)...)
	wantCode(t, err, message.RateLimited)
	for range 7 {
		_, err = publish(b, nil, batch(1)...)
		must(t, err)
	}
	_, err = publish(b, nil, batch(1)...)
	wantCode(t, err, message.RateLimited)
}

// A retry of what is stored is told so, however fast others publish: only what would be
// stored is refused.
func TestRetryOverRate(t *testing.T) {
	c := &clock{now: time.Unix(1_790_000_000, 0)}
	r := rights(t, &directory{}, [3]string{"/**", "*", "*"})
	r.Quotas = map[string]broker.Quota{"a": {PublishRate: 1}}
	b, _ := newBroker(t, broker.Options{Rights: r, Now: c.Now})
	keyed := func(key string) message.Message {
		m := text("/a/1", "x")
		m.Key = key
		return m
	}
	first, err := publish(b, nil, keyed("k"))
	must(t, err)
	again, err := publish(b, nil, keyed("k"))
	must(t, err)
	if len(again) != 1 || again[0] != (engine.Receipt{Offset: first[0].Offset, Duplicate: true}) {
		t.Errorf("the retry: %v, the first: %v", again, first)
	}
	for _, msgs := range [][]message.Message{{keyed("other")}, {keyed("k"), keyed("other")}, {keyed("k"), text("/a/1", "x")}} {
		_, err := publish(b, nil, msgs...)
		wantCode(t, err, message.RateLimited)
	}
	c.pass(time.Hour)
	last, err := publish(b, nil, text("/a/1", "x"))
	must(t, err)
	if last[0].Offset != first[0].Offset+1 {
		t.Errorf("offset %d follows %d: something was stored in between", last[0].Offset, first[0].Offset)
	}
}

// And what its publisher acknowledges with it is stored.
func TestRetryOverRateSavesSessions(t *testing.T) {
	r := rights(t, &directory{}, [3]string{"/**", "*", "*"})
	r.Quotas = map[string]broker.Quota{"a": {PublishRate: 1}}
	c := &clock{now: time.Unix(1_790_000_000, 0)}
	b, e := newBroker(t, broker.Options{Rights: r, Now: c.Now})
	m := text("/a/1", "x")
	m.Key = "k"
	_, err := publish(b, nil, m)
	must(t, err)
	s := engine.Session{Key: engine.SessionKey{1}, TTL: time.Hour}
	answered := make(chan error)
	b.PublishSaving(nil, []message.Message{m}, []engine.Session{s}, func(_ []engine.Receipt, err error) { answered <- err })
	must(t, <-answered)
	if _, is, err := e.Session(t.Context(), s.Key); err != nil || !is {
		t.Errorf("the session is stored: %t, %v", is, err)
	}
}

// Stored bytes are the engine's to judge, which knows what is stored already.
func TestStoredQuota(t *testing.T) {
	r := rights(t, &directory{}, [3]string{"/**", "*", "*"})
	r.Quotas = map[string]broker.Quota{"a": {Stored: 1}}
	b, _ := newBroker(t, broker.Options{Rights: r})
	_, err := publish(b, nil, text("/a/1", "x"))
	if e := wantCode(t, err, message.Unavailable); !strings.Contains(e.Text, "app.a.quota.stored") {
		t.Error(err)
	}
	_, err = publish(b, nil, text("/b", "x"))
	must(t, err)
}

// A page of an origin uses the applications that list it, whoever its user is; who
// is no page, or one of the server's own, is not asked for it.
func TestPages(t *testing.T) {
	r := rights(t, &directory{realm: "names", apps: []string{"a", "b"}}, [3]string{"/**", "*", "*"})
	r.Page = func(app, origin string) bool { return app == "a" && origin == "https://a.example" }
	b, _ := newBroker(t, broker.Options{Rights: r})
	var nobody *broker.Who
	for _, w := range []*broker.Who{nobody, who("alice")} {
		page := w.On("https://a.example")
		must(t, b.May(page, acl.Subscribe, "/a/1"))
		must(t, b.May(w.On(""), acl.Publish, "/b/1"))
		for _, other := range []*broker.Who{page, page.With("b", &auth.Identity{User: "bea", Realm: "names"})} {
			if e := wantCode(t, b.May(other, acl.Publish, "/b/1"), message.Forbidden); !strings.Contains(e.Text, "app.b.origins") {
				t.Error(e)
			}
		}
		now, err := b.Refresh(t.Context(), page)
		must(t, err)
		wantCode(t, b.May(now, acl.Subscribe, "/b/1"), message.Forbidden)
	}
}

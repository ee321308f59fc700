package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// used reports how many sessions an application has: connected, and all.
func (r *rig) used(app string, connections, sessions int) {
	r.t.Helper()
	r.settle()
	if c, s := r.broker.Used(app); c != connections || s != sessions {
		r.t.Errorf("%s has %d connections and %d sessions, want %d and %d", app, c, s, connections, sessions)
	}
}

func wantQuota(t *testing.T, err error, key string) {
	t.Helper()
	if message.CodeOf(err) != message.Unavailable || !strings.Contains(err.Error(), "quota."+key+")") {
		t.Errorf("got %v, want unavailable for quota.%s", err, key)
	}
}

// A session counts once in each application in which it has a subscription,
// whatever the names look like, and no longer than it has one.
func TestPlaces(t *testing.T) {
	r := newRig(t, rigOptions{limits: session.Limits{TTL: time.Minute}})
	c := r.connect(0, session.Request{Who: alice})
	c.now("/a/2", "/a-b/1", "/a", "/a/1", "/b")
	r.used("a", 1, 1)
	r.used("a-b", 1, 1)
	c.unsubscribe("/a/1", "/a")
	r.used("a", 1, 1)
	c.unsubscribe("/a/2")
	r.used("a", 0, 0)
	c.now("/a", "/a/3")
	d := r.connect(1, session.Request{Who: alice})
	d.now("/a/3")
	r.used("a", 2, 2)
	c.detach()
	r.used("a", 1, 2)
	e := r.connect(0, c.request(alice))
	r.used("a", 2, 2)
	r.reload(rule(t, "/b", "*"))
	r.used("a", 0, 0)
	r.used("b", 1, 1)
	e.detach()
	r.pass(2 * time.Minute)
	r.used("b", 0, 0)
}

// Beyond its quota an application takes nobody in; the connection and its other
// channels go on, and what a client had it keeps until there is a place for it.
func TestQuotas(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.quotas = map[string]broker.Quota{"a": {Connections: 1, Sessions: 2}}
	r.reload(r.rules...)
	c := r.connect(0, named)
	c.now("/a/1", "/b")
	d := r.connect(1, session.Request{Who: who("bob")}, mark("/a/1", r.at(0)), mark("/b", r.at(0)))
	wantQuota(t, d.results[0].Err, "connections")
	if d.results[1].Err != nil {
		t.Error(d.results[1].Err)
	}
	d.want("/b@1")
	r.publish("/b", "x")
	d.want("/b:2")
	c.detach()
	must(t, d.subscribe("/a/2", session.Start{}).Err)
	r.used("a", 1, 2)
	r.publish("/a/1", "x")
	_, err := r.tryConnect(0, named)
	wantQuota(t, err, "connections")
	if n := len(r.stored("laptop").Subscriptions); n != 2 {
		t.Fatalf("%d subscriptions are stored: what has no place for a moment was lost", n)
	}
	wantQuota(t, r.connect(0, session.Request{Who: who("carol")}).subscribe("/a", session.Start{}).Err, "sessions")
	d.unsubscribe("/a/2")
	e := r.connect(0, named)
	e.wantOf("/a/1", "/a/1:3r", "/a/1@3")
	r.used("a", 1, 1)
}

// An EventSource has its places for as long as it is connected.
func TestFeedQuota(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.quotas = map[string]broker.Quota{"a": {Connections: 1}}
	r.reload(r.rules...)
	c := r.follow(0, session.Start{}, "/a/1", "/a/2", "/b")
	for _, result := range c.results {
		must(t, result.Err)
	}
	r.used("a", 1, 1)
	d := r.follow(1, session.Start{}, "/a/1", "/b")
	wantQuota(t, d.results[0].Err, "connections")
	must(t, d.results[1].Err)
	r.reload(rule(t, "/a/2", "*"), rule(t, "/b", "*"))
	c.want("@1", "/a/1!forbidden")
	r.used("a", 1, 1)
	c.leave()
	r.used("a", 0, 0)
	r.used("b", 1, 1)
}

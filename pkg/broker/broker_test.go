package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
)

func TestOptions(t *testing.T) {
	d := &directory{realm: "names"}
	whole := broker.Options{Engine: memory.New(memory.Options{}), Rights: rights(t, d)}
	for what, spoil := range map[string]func(*broker.Options){
		"engine":  func(o *broker.Options) { o.Engine = nil },
		"policy":  func(o *broker.Options) { o.Rights.Policy = nil },
		"auth":    func(o *broker.Options) { o.Rights.Auth = nil },
		"storage": func(o *broker.Options) { o.Rights.Storage = nil },
	} {
		o := whole
		spoil(&o)
		if _, err := broker.New(o); err == nil {
			t.Errorf("a broker without %s", what)
		}
	}
}

// Who may do what is decided by the rules in force, and the error names action,
// channel and user, and no more.
func TestMay(t *testing.T) {
	d := &directory{realm: "names"}
	b, _ := newBroker(t, broker.Options{Rights: rights(t, d, [3]string{"/a/**", "*", "user:alice"})})
	for _, c := range []struct {
		who    *broker.Who
		action acl.Action
		text   string
	}{
		{nil, acl.Subscribe, ""},
		{who("bob"), acl.Subscribe, ""},
		{who("alice"), acl.Publish, ""},
		{who("bob"), acl.Publish, "publish to /a/b is not allowed for bob"},
		{nil, acl.Publish, "publish to /a/b is not allowed without a login that may do so"},
	} {
		err := b.May(c.who, c.action, "/a/b")
		if c.text == "" {
			must(t, err)
		} else if e := wantCode(t, err, message.Forbidden); e.Text != c.text {
			t.Errorf("got %q, want %q", e.Text, c.text)
		}
	}
	b.SetRights(rights(t, d, [3]string{"/a/**", "", "*"}))
	wantCode(t, b.May(who("alice"), acl.Subscribe, "/a/b"), message.Forbidden)
	must(t, b.May(nil, acl.Publish, "/a/b"))
}

// The publisher of a message is who has proven it, whatever the message says.
func TestPublish(t *testing.T) {
	b, e := newBroker(t, broker.Options{Rights: rights(t, &directory{realm: "names"}, [3]string{"/**", "*", "*"})})
	forged := text("/a", "x")
	forged.Publisher = "root"
	r, err := publish(b, who("alice"), forged, text("/b", "y"))
	must(t, err)
	_, err = publish(b, nil, forged)
	must(t, err)
	if len(r) != 2 || r[0].Offset >= r[1].Offset {
		t.Fatalf("receipts %v", r)
	}
	stored, err := b.History(t.Context(), nil, "/a", 0, 10)
	must(t, err)
	if len(stored.Messages) != 2 || stored.Messages[0].Publisher != "alice" || stored.Messages[1].Publisher != "" {
		t.Fatalf("stored %v", stored.Messages)
	}
	if e.Status().Visible != 4 {
		t.Fatalf("the engine ends at %d", e.Status().Visible)
	}
}

// What is refused is not stored, and says which message it was; nor is what
// stands beside it.
func TestPublishRefused(t *testing.T) {
	b, e := newBroker(t, broker.Options{
		MaxMessage: 10, Rights: rights(t, &directory{realm: "names"}, [3]string{"/a", "*", "*"}, [3]string{"/b", "*", ""}),
	})
	for _, c := range []struct {
		bad  message.Message
		code message.Code
	}{
		{text("/b", "x"), message.Forbidden},
		{text("/unknown", "x"), message.Forbidden},
		{text("/a", strings.Repeat("x", 11)), message.TooLarge},
	} {
		_, err := publish(b, nil, text("/a", strings.Repeat("x", 10)), text("/a", "x"), c.bad)
		if e := wantCode(t, err, c.code); e.Index != 2 {
			t.Errorf("message %d was refused", e.Index)
		}
	}
	if b.MaxMessage() != 10 || e.Status().Visible != 1 {
		t.Errorf("the engine ends at %d", e.Status().Visible)
	}
}

// The engine's errors come through as they are.
func TestEngineErrors(t *testing.T) {
	b, e := newBroker(t, broker.Options{Rights: rights(t, &directory{realm: "names"}, [3]string{"/**", "*", "*"})})
	e.Refuse(message.Errorf(message.Unavailable, "the disk is full"))
	_, err := publish(b, nil, text("/a", "x"))
	wantCode(t, err, message.Unavailable)
	e.Refuse(nil)
	orphan := text("/a", "x")
	orphan.Key, orphan.Predecessor = "k2", "k1"
	_, err = publish(b, nil, orphan)
	wantCode(t, err, message.OutOfOrder)
	for _, key := range []string{"k3", "k4", "k5"} { // the first is forgotten
		m := text("/a", "x")
		m.Key = key
		_, err = publish(b, nil, m)
		must(t, err)
	}
	late := text("/a", "x")
	late.Key, late.First = "k", 1
	_, err = publish(b, nil, late)
	wantCode(t, err, message.KeyExpired)
	must(t, e.Close(t.Context()))
	_, err = publish(b, nil, text("/a", "x"))
	wantCode(t, err, message.Unavailable)
	_, err = b.History(t.Context(), nil, "/a", 0, 10)
	wantCode(t, err, message.Unavailable)
	_, err = b.Read(t.Context(), "/a", message.Position{}, engine.Limit{})
	wantCode(t, err, message.Unavailable)
}

// One key, one message: of the same publisher on the same channel.
func TestIdempotentPublish(t *testing.T) {
	b, _ := newBroker(t, broker.Options{Rights: rights(t, &directory{realm: "names"}, [3]string{"/**", "*", "*"})})
	keyed := text("/a", "x")
	keyed.Key = "k"
	first, err := publish(b, who("alice"), keyed)
	must(t, err)
	again, err := publish(b, who("alice"), keyed)
	must(t, err)
	if !again[0].Duplicate || again[0].Offset != first[0].Offset {
		t.Errorf("got %v after %v", again, first)
	}
	other, err := publish(b, who("bob"), keyed)
	must(t, err)
	if other[0].Duplicate {
		t.Error("bob's key is alice's")
	}
	keyed.Data = []byte("y")
	_, err = publish(b, who("alice"), keyed)
	wantCode(t, err, message.Conflict)
}

// The past is for those who may subscribe.
func TestHistory(t *testing.T) {
	b, _ := newBroker(t, broker.Options{Rights: rights(t, &directory{realm: "names"}, [3]string{"/a", "user:alice", "*"})})
	for range 5 {
		_, err := publish(b, nil, text("/a", "x")) // 2 to 6
		must(t, err)
	}
	_, err := b.History(t.Context(), who("bob"), "/a", 0, 10)
	wantCode(t, err, message.Forbidden)
	_, err = b.History(t.Context(), nil, "/a", 0, 10)
	wantCode(t, err, message.Forbidden)
	got, err := b.History(t.Context(), who("alice"), "/a", 6, 3)
	must(t, err)
	if len(got.Messages) != 3 || got.Messages[0].Offset != 3 || !got.More {
		t.Errorf("got %v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.History(ended, who("alice"), "/a", 0, 3)
	wantCode(t, err, message.Unavailable)
}

// How channels are stored comes with the rights.
func TestStorageComesWithTheRights(t *testing.T) {
	open := [3]string{"/**", "*", "*"}
	b, _ := newBroker(t, broker.Options{Rights: rights(t, &directory{}, open)})
	for range 3 {
		_, err := publish(b, nil, text("/a", "x"))
		must(t, err)
	}
	next := rights(t, &directory{}, open)
	next.Storage = func(channel.Name) engine.Rule { return engine.Rule{Messages: 1} }
	b.SetRights(next)
	got, err := b.History(t.Context(), nil, "/a", 0, 10)
	must(t, err)
	if len(got.Messages) != 1 {
		t.Errorf("%d messages are kept", len(got.Messages))
	}
}

func TestAuthenticate(t *testing.T) {
	d := &directory{realm: "names"}
	d.remove("mallory")
	b, _ := newBroker(t, broker.Options{Rights: rights(t, d)})
	if id, err := b.Authenticate(t.Context(), auth.Credentials{App: "chat"}); id != nil || err != nil {
		t.Errorf("anonymous is %v, %v", id, err)
	}
	id, err := b.Authenticate(t.Context(), auth.Credentials{Token: "alice"})
	must(t, err)
	if id.User != "alice" {
		t.Errorf("got %v", id)
	}
	_, err = b.Authenticate(t.Context(), auth.Credentials{Token: "mallory"})
	wantCode(t, err, message.Unauthorized)
}

// A directory that does not answer holds nobody up for longer than AuthTime.
func TestAuthTime(t *testing.T) {
	d := &directory{realm: "names", before: func(ctx context.Context) error {
		<-ctx.Done()
		return message.Errorf(message.Unavailable, "no answer").Because(ctx.Err())
	}}
	b, _ := newBroker(t, broker.Options{Rights: rights(t, d), AuthTime: time.Millisecond})
	_, err := b.Authenticate(context.Background(), auth.Credentials{Token: "alice"})
	wantCode(t, err, message.Unavailable)
	_, err = b.Refresh(context.Background(), who("alice"))
	if wantCode(t, err, message.Unavailable); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A login that a reload overtakes is judged by what the reload has brought.
func TestReloadDuringALogin(t *testing.T) {
	next := &directory{realm: "names"}
	next.remove("alice")
	d := &directory{realm: "names"}
	b, _ := newBroker(t, broker.Options{Rights: rights(t, d)})
	d.before = func(context.Context) error {
		b.SetRights(rights(t, next))
		return nil
	}
	_, err := b.Authenticate(t.Context(), auth.Credentials{Token: "alice"})
	wantCode(t, err, message.Unauthorized)
}

func TestRefresh(t *testing.T) {
	d := &directory{realm: "names", apps: []string{"chat", "news"}}
	b, _ := newBroker(t, broker.Options{Rights: rights(t, d, [3]string{"/**", "@authenticated", "@authenticated"})})
	if w, err := b.Refresh(t.Context(), nil); w != nil || err != nil {
		t.Errorf("anonymous is %v, %v", w, err)
	}
	both := who("alice").With("chat", identity("bob"))
	now, err := b.Refresh(t.Context(), both)
	must(t, err)
	if _, user := now.Owner(); user != "alice" || now == both {
		t.Errorf("got %v", now)
	}
	// Where nobody answers for the one of an application, the others go on.
	d.fail("bea", message.Errorf(message.Unavailable, "nobody answers"))
	now, err = b.Refresh(t.Context(), both.With("news", identity("bea")))
	must(t, err)
	must(t, b.May(now, acl.Subscribe, "/chat/a"))
	wantCode(t, b.May(now, acl.Subscribe, "/news/a"), message.Unauthorized)
	d.fail("bea", nil)
	d.remove("bob")
	now, err = b.Refresh(t.Context(), both)
	must(t, err)
	wantCode(t, b.May(now, acl.Subscribe, "/chat/a"), message.Unauthorized)
	must(t, b.May(now, acl.Subscribe, "/news/a"))
	must(t, b.May(now.With("chat", identity("bea")), acl.Subscribe, "/chat/a"))
	d.remove("alice")
	_, err = b.Refresh(t.Context(), who("alice"))
	wantCode(t, err, message.Unauthorized)
}

// An identity counts where its realm vouches for the application, or where it
// was proven for that application alone.
func TestWho(t *testing.T) {
	d := &directory{realm: "names", apps: []string{"chat"}}
	b, _ := newBroker(t, broker.Options{Rights: rights(t, d, [3]string{"/**", "@authenticated", "@authenticated"})})
	alice := who("alice")
	must(t, b.May(alice, acl.Subscribe, "/chat/a"))
	wantCode(t, b.May(alice, acl.Subscribe, "/news/a"), message.Forbidden)
	more := alice.With("news", &auth.Identity{User: "bea", Realm: otherRealm})
	must(t, b.May(more, acl.Subscribe, "/news/a"))
	wantCode(t, b.May(alice.With("news", identity("bea")), acl.Subscribe, "/news/a"), message.Unauthorized)
	wantCode(t, b.May(alice, acl.Subscribe, "/news/a"), message.Forbidden) // is as it was
	_, err := publish(b, more, text("/news/a", "x"), text("/chat/a", "x"))
	must(t, err)
	for name, want := range map[channel.Name]string{"/news/a": "bea", "/chat/a": "alice"} {
		got, err := b.History(t.Context(), more, name, 0, 1)
		must(t, err)
		if got.Messages[0].Publisher != want {
			t.Errorf("%s is by %q", name, got.Messages[0].Publisher)
		}
	}
}

func TestOwnerAndExpires(t *testing.T) {
	var nobody *broker.Who
	soon, late := time.Unix(100, 0), time.Unix(200, 0)
	until := func(at time.Time) *auth.Identity {
		return &auth.Identity{User: "alice", Realm: "names", Expires: at}
	}
	for _, c := range []struct {
		who  *broker.Who
		user string
		ends time.Time
	}{
		{nobody, "", time.Time{}},
		{broker.NewWho(nil), "", time.Time{}},
		{who("alice"), "alice", time.Time{}},
		{broker.NewWho(until(late)), "alice", late},
		{who("alice").With("chat", until(soon)), "alice", time.Time{}},
		{broker.NewWho(until(late)).With("chat", until(soon)), "alice", late},
		{broker.NewWho(until(soon)).With("chat", until(late)), "alice", soon},
		{nobody.With("chat", until(soon)), "", time.Time{}},
	} {
		realm, user := c.who.Owner()
		if user != c.user || (realm == "") != (user == "") || c.ends.IsZero() == c.who.Expired(late.Add(1)) || !c.ends.IsZero() && (c.who.Expired(c.ends.Add(-1)) || !c.who.Expired(c.ends)) {
			t.Errorf("%q of %q, want %q until %v", user, realm, c.user, c.ends)
		}
	}
}

package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// A result is what a call gave.
type result struct {
	page client.Page
	user string
	err  error
}

func (r *run) history(ctx context.Context, before message.Offset, limit int) chan result {
	answered := make(chan result, 1)
	go func() {
		page, err := r.History(ctx, "/a", before, limit)
		answered <- result{page: page, err: err}
	}()
	return answered
}

func (r *run) auth(app, token string) chan result {
	answered := make(chan result, 1)
	go func() {
		user, err := r.Auth(r.t.Context(), app, token)
		answered <- result{user: user, err: err}
	}()
	return answered
}

func TestHistoryIsAskedAgainOverANewConnection(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	p, _ := s.welcome("")
	asked := r.history(t.Context(), 90, 2)
	if c := p.expect(protocol.OpHistory); c.Channel != "/a" || c.Before != 90 || c.Limit != 2 {
		t.Errorf("%+v", c)
	}
	p.cut()
	p, _ = s.welcome("")
	c := p.expect(protocol.OpHistory)
	messages := []message.Message{{Channel: "/a", Offset: 80, Previous: 79, Time: 1, Data: []byte("1")}}
	p.reply(protocol.AppendHistory(nil, c.ID, 1, messages, true))
	got := <-asked
	if got.err != nil || len(got.page.Messages) != 1 || got.page.Messages[0].Offset != 80 || !got.page.More || got.page.Epoch != 1 {
		t.Errorf("%+v", got)
	}
}

func TestHistoryThatIsRefusedOrGivenUp(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	p, _ := s.welcome("")
	asked := r.history(t.Context(), 0, 0)
	refuse(p, p.expect(protocol.OpHistory), message.Forbidden)
	if got := <-asked; message.CodeOf(got.err) != message.Forbidden {
		t.Errorf("%v; want forbidden", got.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked = r.history(ctx, 0, 0)
	c := p.expect(protocol.OpHistory)
	cancel()
	if got := <-asked; got.err != context.Canceled {
		t.Errorf("%v; want that it ends with its context", got.err)
	}
	p.reply(protocol.AppendHistory(nil, c.ID, 1, nil, false)) // too late: nobody is hurt
	p.send(string(protocol.AppendPing(nil)))
	p.expect(protocol.OpPong)
	asked = r.history(t.Context(), 0, 0)
	p.reply(protocol.AppendDone(nil, p.expect(protocol.OpHistory).ID))
	if got := <-asked; got.err == nil {
		t.Error("an answer of another kind was taken for a history")
	}
	asked = r.history(t.Context(), 0, 0)
	p.expect(protocol.OpHistory)
	r.cancel()
	if got := <-asked; got.err != client.ErrClosed {
		t.Errorf("%v; want ErrClosed", got.err)
	}
	r.end()
	if _, err := r.History(t.Context(), "/a", 0, 0); err != client.ErrClosed {
		t.Errorf("after the end: %v", err)
	}
}

func TestAnIdentityIsKept(t *testing.T) {
	s := newServer(t)
	given := []protocol.Auth{{App: "news", Token: "n1"}, {App: "chat", Token: "c1"}}
	r := start(t, client.Options{URL: s.url(), Auth: given})
	p, c := s.welcome("")
	if len(c.Auth) != 2 {
		t.Errorf("%+v", c.Auth)
	}
	bob, wrong := r.auth("news", "n2"), r.auth("shop", "s1")
	for range 2 {
		if c := p.expect(protocol.OpAuth); c.App == "news" {
			p.reply(protocol.AppendAuthenticated(nil, c.ID, "bob"))
		} else {
			refuse(p, c, message.Unauthorized)
		}
	}
	if got := <-bob; got.user != "bob" || got.err != nil {
		t.Errorf("%+v", got)
	}
	if got := <-wrong; message.CodeOf(got.err) != message.Unauthorized {
		t.Errorf("%+v", got)
	}
	p.cut()
	_, c = s.welcome("")
	if want := (protocol.Auth{App: "news", Token: "n2"}); len(c.Auth) != 2 || c.Auth[1] != want || c.Auth[0] != given[1] {
		t.Errorf("%+v; want the new token of news, and that of chat", c.Auth)
	}
	if given[0].Token != "n1" {
		t.Error("the caller's options were changed")
	}
}

// An identity that is believed no more, as when its time is over, ends itself and neither
// the client nor the other identities; meanwhile nobody takes the session up without them.
func TestOneIdentityIsBelievedNoMore(t *testing.T) {
	s := newServer(t)
	given := []protocol.Auth{{App: "news", Token: "n1"}, {App: "chat", Token: "c1"}, {App: "shop", Token: "s1"}}
	token := func(context.Context) (string, error) { return "t", nil }
	start(t, client.Options{URL: s.url(), Auth: given, Client: "laptop", Token: token})
	p, _ := s.welcome("")
	p.cut()
	p = s.accept()
	c := p.expect(protocol.OpConnect)
	if len(c.Auth) != 3 || c.Client != "laptop" || c.Session != "s1" {
		t.Errorf("%+v", c)
	}
	refuse(p, c, message.Unauthorized)
	p, c = s.welcome("")
	if len(c.Auth) != 0 || c.Token != "t" || c.Client != "" || c.Session != "" {
		t.Errorf("%+v; want a connect without identities, and without the session", c)
	}
	for range given {
		switch c := p.expect(protocol.OpAuth); c.App {
		case "chat":
			refuse(p, c, message.Unauthorized)
		case "shop":
			refuse(p, c, message.Unavailable) // nothing is known of it
		default:
			p.reply(protocol.AppendAuthenticated(nil, c.ID, "bob"))
		}
	}
	p, c = s.welcome("")
	if len(c.Auth) != 2 || c.Auth[0] != given[0] || c.Auth[1] != given[2] || c.Client != "laptop" || c.Session != "s1" {
		t.Errorf("%+v; want the session again, with the identities of news and shop", c)
	}
	// While the client is connected, the server says whose time is over.
	p.send(string(protocol.AppendRevoked(nil, "/news/today", message.Errorf(message.Unauthorized, "it has expired"))))
	p.send(string(protocol.AppendBye(nil, protocol.ByeRestart, time.Millisecond)))
	if _, c = s.welcome(""); len(c.Auth) != 1 || c.Auth[0] != given[2] {
		t.Errorf("%+v; want the identity of shop alone", c.Auth)
	}
}

// Where all identities are good, it is the client's own token: that is replaced once.
func TestTheTokenBesideGoodIdentities(t *testing.T) {
	s := newServer(t)
	tokens := make(chan string, 2)
	tokens <- "old"
	tokens <- "new"
	r := start(t, client.Options{
		URL: s.url(), Auth: []protocol.Auth{{App: "news", Token: "n1"}},
		Token: func(context.Context) (string, error) { return <-tokens, nil },
	})
	for _, want := range []struct {
		token      string
		identities int
	}{{"old", 1}, {"old", 0}, {"new", 0}} {
		p := s.accept()
		c := p.expect(protocol.OpConnect)
		if c.Token != want.token || len(c.Auth) != want.identities {
			t.Errorf("%+v; want %+v", c, want)
		}
		if c.Token == "old" {
			refuse(p, c, message.Unauthorized)
			continue
		}
		p.hello(c, epochOne, "")
		p.reply(protocol.AppendAuthenticated(nil, p.expect(protocol.OpAuth).ID, "bob"))
	}
	p := s.accept()
	c := p.expect(protocol.OpConnect)
	if c.Token != "new" || len(c.Auth) != 1 {
		t.Errorf("%+v", c)
	}
	refuse(p, c, message.Unauthorized) // though all is good by itself: this server is not asked again
	if e := message.AsError(r.end()); e.Code != message.Unauthorized {
		t.Errorf("%v; want unauthorized", e)
	}
}

// A server that refuses a connect for now says in its farewell when to come back; one that
// ends the connection without a word is tried again by backoff.
func TestARefusedConnectSaysWhenToComeBack(t *testing.T) {
	const after = 7 * time.Millisecond // no backoff of this test
	s := newServer(t)
	states := make(chan client.State, 10)
	start(t, client.Options{URL: s.url(), OnState: func(s client.State) { states <- s }})
	bye := protocol.AppendBye(nil, message.Unavailable, after)
	for _, end := range []struct {
		by    func(*peer)
		retry time.Duration
	}{
		{func(p *peer) { p.reply(bye) }, after},
		{(*peer).cut, time.Microsecond},
		{func(p *peer) { p.reply(protocol.AppendBye(nil, message.Unavailable, 0)) }, time.Microsecond},
	} {
		p := s.accept()
		refuse(p, p.expect(protocol.OpConnect), message.Unavailable)
		end.by(p)
		if got := <-states; message.CodeOf(got.Err) != message.Unavailable || got.Retry != end.retry {
			t.Errorf("%+v; want the refusal, and %v", got, end.retry)
		}
	}
	s.welcome("")
}

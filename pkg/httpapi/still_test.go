package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
)

// staff is a directory that says when somebody has logged in, as one of a group until
// then.
type staff struct {
	names
	asked   chan struct{}
	expires time.Time
}

func (s *staff) Authenticate(context.Context, auth.Credentials) (*auth.Identity, error) {
	s.asked <- struct{}{}
	return &auth.Identity{User: "alice", Realm: "names", Groups: []string{"staff"}, Expires: s.expires}, nil
}

// nobody is a directory without users.
type nobody struct{ names }

func (nobody) Refresh(context.Context, *auth.Identity) (*auth.Identity, error) {
	return nil, message.Errorf(message.Unauthorized, "no such user")
}

// ungrouped is a directory in which nobody is in a group.
type ungrouped struct{ names }

func (ungrouped) Refresh(_ context.Context, id *auth.Identity) (*auth.Identity, error) {
	return &auth.Identity{User: id.User, Realm: id.Realm}, nil
}

// pasts is an engine whose histories wait.
type pasts struct {
	engine.Engine
	asked, answer chan struct{}
}

func (p *pasts) History(ctx context.Context, ch channel.Name, before message.Offset, limit engine.Limit) (engine.Batch, error) {
	b, err := p.Engine.History(ctx, ch, before, limit)
	p.asked <- struct{}{}
	<-p.answer
	return b, err
}

// TestJudgedBehindTheBody: what a caller may is looked at when its body is there, and
// when a history was read: not when the call came, which may be a minute before.
func TestJudgedBehindTheBody(t *testing.T) {
	all := map[string]string{"/mine/**": "group:staff"}
	for _, c := range []struct {
		name        string
		rules       map[string]string
		who         broker.Authenticator
		expires     time.Time
		status      int
		batchStatus int // whose lines are judged one by one
	}{
		{"nothing changes", all, names{}, time.Time{}, 200, 200},
		{"the rules", map[string]string{"/mine/**": "user:bob"}, names{}, time.Time{}, 403, 200},
		{"the group", all, ungrouped{}, time.Time{}, 403, 200},
		{"the user", all, nobody{}, time.Time{}, 401, 401},
		{"its time", all, names{}, time.Unix(1, 0), 401, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &pasts{memory.New(memory.Options{}), make(chan struct{}), make(chan struct{})}
			directory := &staff{asked: make(chan struct{}), expires: c.expires}
			b := newBroker(t, e, rights(t, all, directory))
			url := serveBroker(t, b, 0)
			before := func() { b.SetRights(rights(t, all, directory)) }
			change := func() { b.SetRights(rights(t, c.rules, c.who)) }
			for path, want := range map[string]int{publishPath + "mine/a": c.status, publishManyPath: c.batchStatus} {
				before()
				body, w := io.Pipe()
				go func() {
					<-directory.asked
					change()
					_, _ = io.WriteString(w, `{"channel":"/mine/a","data":1}`)
					w.Close()
				}()
				if got := status(t, "POST", url+path, body); got != want {
					t.Errorf("%s: %d, want %d", path, got, want)
				}
			}
			stored := e.Status().Visible > 1
			if stored != (c.name == "nothing changes") {
				t.Errorf("stored: %t", stored)
			}
			before()
			go func() {
				<-directory.asked
				<-e.asked
				change()
				close(e.answer)
			}()
			if got := status(t, "GET", url+historyPath+"mine/a", nil); got != c.status {
				t.Errorf("history: %d, want %d", got, c.status)
			}
		})
	}
}

// TestJudgedBeforeTheBody: who may not publish is not asked for the body, and so holds
// no place among those that are awaited.
func TestJudgedBeforeTheBody(t *testing.T) {
	for channel, want := range map[string]int{"mine": http.StatusForbidden, "open": http.StatusContinue} {
		c, err := net.Dial("tcp", strings.TrimPrefix(serve(t), "http://"))
		check(t, err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "POST /v1/publish/%s/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", channel)
		check(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		check(t, err)
		if answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", channel, answer.StatusCode, want)
		}
	}
}

// TestFormIsRefused: why the server does not read a form on is told as it is.
func TestFormIsRefused(t *testing.T) {
	crowded := message.Errorf(message.Unavailable, "crowded")
	for _, wrong := range []error{crowded, io.ErrUnexpectedEOF} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", loginPath, iotest.ErrReader(wrong))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		err := readForm(httptest.NewRecorder(), r, "refresh")
		if code := message.CodeOf(err); (code == message.Unavailable) != (wrong == error(crowded)) || code != message.Unavailable && code != message.BadRequest {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

func status(t *testing.T, method, url string, body io.Reader) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	check(t, err)
	r.Header.Set("Authorization", "Bearer good")
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	answer.Body.Close()
	return answer.StatusCode
}

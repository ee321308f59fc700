package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
)

// names lets in whoever knows the password "good" or the token "good".
type names struct{}

func (names) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	if c.Renewing && slices.Contains([]string{"renews", "used", "unstored", "crowded"}, c.Token) {
		return &auth.Identity{User: "alice", Realm: "names", Login: &auth.Login{ID: c.Token}}, nil
	}
	if c.Password != "good" && c.Token != "good" {
		return nil, message.Errorf(message.Unauthorized, "wrong user name, password or token")
	}
	return &auth.Identity{User: "alice", Realm: "names"}, nil
}
func (names) Refresh(_ context.Context, id *auth.Identity) (*auth.Identity, error) { return id, nil }
func (names) Vouches(string, string) bool                                          { return true }
func (names) Ended(*auth.Identity) bool                                            { return false }

func (names) Login(*auth.Identity) (tokenauth.Tokens, error) {
	return tokenauth.Tokens{Token: "good", Expires: time.Now().Add(time.Hour), Renewal: "renews", Ends: time.Now().Add(2 * time.Hour)}, nil
}

func (n names) Renew(_ context.Context, id *auth.Identity, renewal string) (tokenauth.Tokens, error) {
	switch renewal {
	case "used":
		return tokenauth.Tokens{}, tokenauth.ErrReused
	case "unstored":
		return tokenauth.Tokens{}, errors.New("the disk is full")
	case "crowded":
		return tokenauth.Tokens{}, tokenauth.ErrTooMany
	}
	return n.Login(id)
}

func (names) LoginOf(_ context.Context, token string) (*auth.Login, error) {
	if token == "foreign" {
		return nil, auth.ErrPass
	}
	return &auth.Login{ID: token}, nil
}

func (names) End(l auth.Login) error {
	if l.ID == "unstored" {
		return errors.New("the disk is full")
	}
	return nil
}

// serve returns the URL of an API: /open is anyone's, /mine is for those who
// have logged in, and there is no rule for anything else.
func serve(t *testing.T) string { return serveWithin(t, 0) }

// serveWithin is serve with a bound of each call.
func serveWithin(t *testing.T, timeout time.Duration) string {
	t.Helper()
	return serveRules(t, map[string]string{"/open/**": "*", "/mine/**": "@authenticated"}, timeout)
}

// serveRules is serve with rules: for each pattern who may do everything.
func serveRules(t *testing.T, patterns map[string]string, timeout time.Duration) string {
	t.Helper()
	return serveBroker(t, newBroker(t, memory.New(memory.Options{KeyCount: 1}), rights(t, patterns, names{})), timeout)
}

// rights are those of serveRules, of whom somebody knows.
func rights(t *testing.T, patterns map[string]string, who broker.Authenticator) broker.Rights {
	t.Helper()
	var rules []acl.Rule
	for pattern, who := range patterns {
		match, err := channel.ParsePattern(pattern)
		check(t, err)
		principal, err := acl.ParsePrincipal(who)
		check(t, err)
		rules = append(rules, acl.Rule{Match: match, Subscribe: []acl.Principal{principal}, Publish: []acl.Principal{principal}})
	}
	policy, err := acl.Compile(rules)
	check(t, err)
	return broker.Rights{Policy: policy, Auth: who, Storage: func(channel.Name) engine.Rule { return engine.Rule{} }}
}

// newBroker returns a broker that ends with the test, and its engine with it.
func newBroker(t *testing.T, e engine.Engine, r broker.Rights) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Options{Engine: e, MaxMessage: 1000, Rights: r})
	check(t, err)
	t.Cleanup(func() {
		check(t, b.Close(context.Background()))
		check(t, e.Close(context.Background()))
	})
	return b
}

func serveBroker(t *testing.T, b *broker.Broker, timeout time.Duration) string {
	t.Helper()
	a, err := New(Options{
		Broker: b, Issuer: func() Issuer { return names{} }, Cookie: "token", Logger: logrus.New(), Timeout: timeout,
		TokenOf: func(r *http.Request) string {
			c, err := r.Cookie("token")
			if err != nil {
				return ""
			}
			return c.Value
		},
		Gate: origin.NewGate(origin.Rules{Origins: []string{"https://good.example"}}),
	})
	check(t, err)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return server.URL
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A call is one request and what is expected of the answer.
type call struct {
	method, path, body string
	header             []string
	status             int
	want               string // contained in the body
}

func (c call) do(t *testing.T, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader(c.body))
	check(t, err)
	for i := 0; i < len(c.header); i += 2 {
		r.Header.Add(c.header[i], c.header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	defer answer.Body.Close()
	body := readAll(t, answer)
	if answer.StatusCode != c.status || !strings.Contains(body, c.want) {
		t.Errorf("%s %s %.60q %v: got %d %s, want %d %s", c.method, c.path, c.body, c.header, answer.StatusCode, body, c.status, c.want)
	}
	return answer
}

func readAll(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	check(t, err)
	return string(b)
}

func TestCalls(t *testing.T) {
	url := serve(t)
	basic := []string{"Authorization", "Basic YWxpY2U6Z29vZA=="}
	key := []string{"Idempotency-Key", "k1"}
	for _, c := range []call{
		{"POST", "/v1/publish/open/a", `{"text":"hi"}`, nil, 200, `"offset":2`},
		{"POST", "/v1/publish/open/a", "plain", []string{"Content-Type", "text/plain", "Idempotency-Key", "forgotten"}, 200, `"offset":3`},
		{"POST", "/v1/publish/open/a", `1`, key, 200, `"offset":4`},
		{"POST", "/v1/publish/open/a", `1`, key, 200, `"offset":4,"epoch":`},
		{"POST", "/v1/publish/open/a", `1`, key, 200, `"duplicate":true`},
		{"POST", "/v1/publish/open/a", `2`, key, 409, `"conflict"`},
		{"POST", "/v1/publish/open/a", `2`, []string{"Orbit-Previous-Key", "k0", "Idempotency-Key", "k2"}, 409, `"out_of_order"`},
		{"POST", "/v1/publish/open/a", `2`, []string{"Orbit-First", "1", "Idempotency-Key", "k3"}, 410, `"key_expired"`},
		{"POST", "/v1/publish/open/a", `2`, []string{"Orbit-First", "now"}, 400, `"bad_request"`},
		{"POST", "/v1/publish/open/a", `{"text":`, nil, 400, `"bad_request"`},
		{"POST", "/v1/publish/open/a", `"` + strings.Repeat("x", 1000) + `"`, nil, 413, `session.max_message`},
		{"POST", "/v1/publish/open/a%20b", `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish/none/a", `1`, nil, 403, `"forbidden"`},
		{"POST", "/v1/publish/mine/a", `1`, nil, 403, `"forbidden"`},
		{"POST", "/v1/publish/mine/a", `1`, basic, 200, `"offset":5`},
		{"POST", "/v1/publish/mine/a", `1`, []string{"Authorization", "Bearer good"}, 200, `"offset":6`},
		{"POST", "/v1/publish/mine/a", `1`, []string{"Authorization", "Bearer bad"}, 401, `"unauthorized"`},
		{"POST", "/v1/publish/mine/a", `1`, []string{"Authorization", "Digest x"}, 401, `"unauthorized"`},
		{"GET", "/v1/history/open/a", "", nil, 200, `"o":2,"p":0`},
		{"GET", "/v1/history/open/a?limit=1", "", nil, 200, `"more":true`},
		{"GET", "/v1/history/open/a?limit=0", "", nil, 400, `"bad_request"`},
		{"GET", "/v1/history/mine/a", "", nil, 403, `"forbidden"`},
		{"POST", "/v1/login", "", basic, 200, `"token":"good","user":"alice"`},
		{"POST", "/v1/login", "user=alice&password=good", []string{"Content-Type", "application/x-www-form-urlencoded"}, 200, `"user":"alice"`},
		{"POST", "/v1/login", "user=alice&password=bad", []string{"Content-Type", "application/x-www-form-urlencoded"}, 401, `"unauthorized"`},
		{"POST", "/v1/login", "", nil, 401, `"unauthorized"`},
		{"POST", "/v1/publish", "", nil, 400, `"bad_request"`},
	} {
		c.do(t, url)
	}
}

// A foreign page is refused before anything is done, and a cookie counts only
// for a page that is allowed.
func TestOrigins(t *testing.T) {
	url := serve(t)
	cookie := []string{"Cookie", "token=good"}
	call{"POST", "/v1/publish/mine/a", `1`, cookie, 403, `"forbidden"`}.do(t, url)
	call{"POST", "/v1/publish/mine/a", `1`, append(cookie, "Origin", "https://evil.example"), 403, `origin`}.do(t, url)
	call{"POST", "/v1/publish/mine/a", `1`, append(cookie, "Origin", "null"), 403, `origin`}.do(t, url)
	call{"POST", "/v1/publish/mine/a", `1`, append(cookie, "Origin", "https://good.example"), 200, `"offset":2`}.do(t, url)
	answer := call{"POST", "/v1/login", "", []string{"Authorization", "Basic YWxpY2U6Z29vZA==", "Origin", "https://good.example"}, 200, ""}.do(t, url)
	if set := answer.Header.Get("Set-Cookie"); !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Strict") {
		t.Errorf("cookie %q", set)
	}
}

// Refused lines are answered in their place; all others are one batch.
func TestManyLines(t *testing.T) {
	url := serve(t)
	body := strings.Join([]string{
		`{"channel":"/open/a","data":1,"key":"a"}`,
		`{"channel":"/none/a","data":2}`,
		`nonsense`,
		`{"channel":"/open/a","data":3,"key":"a"}`,
		`{"channel":"/open/b","b":"AAEC","ct":"application/octet-stream"}`,
	}, "\n")
	r, err := http.Post(url+"/v1/publish", "application/x-ndjson", strings.NewReader(body))
	check(t, err)
	defer r.Body.Close()
	var got []string
	for line := range strings.Lines(readAll(t, r)) {
		var o struct {
			Offset int
			Error  struct{ Code string }
		}
		check(t, json.Unmarshal([]byte(line), &o))
		if o.Error.Code == "" {
			o.Error.Code = "stored"
		}
		got = append(got, o.Error.Code)
	}
	if want := "stored forbidden bad_request conflict stored"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

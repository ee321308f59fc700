package daemon_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
)

const form = "application/x-www-form-urlencoded"

// newDesk returns a site with STOMP, where alice and bob may use /desk, and whoever
// has a token for it /room.
func newDesk(t *testing.T, more string) *site {
	t.Helper()
	s := &site{t: t, folder: t.TempDir()}
	for _, user := range []string{"alice", "bob"} {
		_, err := fileauth.SetPassword(filepath.Join(s.folder, "users"), user, user+"-secret", nil)
		must(t, err)
	}
	s.write("orbitd.toml", strings.Replace(server, "http ", "stomp = \"127.0.0.1:0\"\nhttp ", 1)+small+`
[[auth]]
type = "file"
path = "users"

[[auth]]
type = "token"

[[channel]]
match = "/desk/*"
subscribe = ["@authenticated"]
publish = ["@authenticated"]

[[channel]]
match = "/room/*"
subscribe = ["token"]
publish = ["token"]
`+more)
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	return s
}

// tokens are what a login or a renewal is answered.
type tokens struct{ Token, Refresh, User string }

func (s *site) ask(path, body string, status int) (got tokens) {
	s.t.Helper()
	answer, text := s.do("POST", "http", path, body, "Content-Type", form)
	if answer.StatusCode != status {
		s.t.Fatalf("%s %s: %d %s, want %d", path, body, answer.StatusCode, text, status)
	}
	if status == http.StatusOK {
		must(s.t, json.Unmarshal([]byte(text), &got))
	}
	return got
}

func (s *site) login(user string) tokens {
	s.t.Helper()
	return s.ask("/v1/login", "user="+user+"&password="+user+"-secret", http.StatusOK)
}

// tryToken publishes with a token, and reports whether that was taken.
func (s *site) tryToken(token, channel string) (taken bool, why string) {
	s.t.Helper()
	answer, text := s.do("POST", "http", "/v1/publish"+channel, "1", "Authorization", "Bearer "+token)
	return answer.StatusCode == http.StatusOK, text
}

func (s *site) good(token string) bool {
	s.t.Helper()
	taken, _ := s.tryToken(token, "/desk/1")
	return taken
}

// Who logs out is logged out on every connection of that login and on no other, at
// once and for good: also after a restart.
func TestLogoutEndsEveryConnection(t *testing.T) {
	s := newDesk(t, "")
	mine, other := s.login("alice"), s.login("alice")
	var all []*watcher
	for _, path := range []string{"/v1/ws", "/v1/stream", "/v1/sse", "/v1/sse?channel=/desk/1", "/v1/poll?wait=55"} {
		all = append(all, s.watch(path, mine.Token))
	}
	stays := s.watch("/v1/stream", other.Token)
	c, err := net.Dial("tcp", s.address("stomp"))
	must(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "CONNECT\naccept-version:1.2\nhost:here\ntoken:%s\n\n\x00", mine.Token)
	must(t, err)
	frames := bufio.NewReader(c)
	if frame, err := frames.ReadString(0); err != nil || !strings.HasPrefix(frame, "CONNECTED") {
		t.Fatalf("%s, %v", frame, err)
	}
	for s.Clients() < len(all)+2 {
		time.Sleep(time.Millisecond)
	}
	answer, _ := s.do("POST", "http", "/v1/logout", "", "Authorization", "Bearer "+mine.Token)
	if answer.StatusCode != http.StatusNoContent {
		t.Fatalf("logged out by %d", answer.StatusCode)
	}
	for _, w := range all {
		<-w.end
		if !strings.Contains(w.text(), `{"bye":{"code":"unauthorized"}}`) {
			t.Errorf("%s: %s", w.path, w.text())
		}
	}
	if frame, err := frames.ReadString(0); err != nil || !strings.Contains(frame, "code:unauthorized") {
		t.Errorf("STOMP: %q, %v", frame, err)
	}
	for range 2 {
		if s.good(mine.Token) || !s.good(other.Token) {
			t.Error("the wrong login has ended")
		}
		s.ask("/v1/refresh", "refresh="+mine.Refresh, http.StatusUnauthorized)
		must(t, s.Stop(t.Context()))
		<-stays.end
		must(t, s.start(nil))
	}
	if strings.Contains(stays.text(), "unauthorized") {
		t.Errorf("another login: %s", stays.text())
	}
}

// A login goes on as long as its user is there; a token that comes twice, later than
// a client that did not get the answer, ends it, with all that is connected by it.
func TestRefreshLogin(t *testing.T) {
	s := newDesk(t, "")
	first := s.login("bob")
	second := s.ask("/v1/refresh", "refresh="+first.Refresh, http.StatusOK)
	if second.User != "bob" || !s.good(second.Token) || !s.good(first.Token) {
		t.Errorf("%+v", second)
	}
	third := s.ask("/v1/refresh", "refresh="+second.Refresh, http.StatusOK)
	stream := s.watch("/v1/stream", third.Token)
	for s.Clients() < 1 {
		time.Sleep(time.Millisecond)
	}
	s.ask("/v1/refresh", "refresh="+first.Refresh, http.StatusUnauthorized)
	if <-stream.end; !strings.Contains(stream.text(), `"bye":{"code":"unauthorized"}`) {
		t.Errorf("connected: %s", stream.text())
	}
	s.ask("/v1/refresh", "refresh="+third.Refresh, http.StatusUnauthorized)
	if s.good(third.Token) || s.good(first.Token) {
		t.Error("a stolen login goes on")
	}
	again := s.login("bob")
	must(t, fileauth.Delete(filepath.Join(s.folder, "users"), "bob"))
	must(t, s.Recheck(t.Context(), ""))
	s.ask("/v1/refresh", "refresh="+again.Refresh, http.StatusUnauthorized)
}

// A token says which channels it is for: never more than the rules allow, and where a
// rule lists "token" as much as it says. When it ends, so does its connection.
func TestScopesAndEndOfForeignTokens(t *testing.T) {
	issuer := newSignOn(t)
	s := newDesk(t, fmt.Sprintf("[[auth]]\ntype = \"token\"\nname = \"sso\"\nissuer = %q\njwks = \"%[1]s/keys\"\nleeway = \"0s\"\n", issuer.URL))
	made := func(life time.Duration, scope any) string {
		claims := jwt.MapClaims{"iss": issuer.URL, "aud": "orbitd", "sub": "carol", "exp": time.Now().Add(life).Unix()}
		if scope != nil {
			claims["channels"] = scope
		}
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["kid"] = "one"
		text, err := token.SignedString(issuer.key)
		must(t, err)
		return text
	}
	lists := func(channels ...string) map[string]any {
		return map[string]any{"publish": channels, "subscribe": channels}
	}
	for _, c := range []struct {
		scope   any
		channel string
		taken   bool
	}{
		{nil, "/desk/1", true},
		{nil, "/room/7", false},
		{lists("/desk/1"), "/desk/1", true},
		{lists("/desk/1"), "/desk/2", false},
		{lists("/room/7"), "/desk/1", false},
		{lists("/room/7"), "/room/7", true},
		{lists("/room/7"), "/room/8", false},
		{lists("/**"), "/room/8", true},
		{lists("/**"), "/elsewhere", false},
		{map[string]any{"subscribe": []string{"/room/7"}}, "/room/7", false},
		{map[string]any{}, "/desk/1", false},
		{"everything", "/desk/1", false},
	} {
		if taken, why := s.tryToken(made(time.Hour, c.scope), c.channel); taken != c.taken {
			t.Errorf("%v on %s: %s", c.scope, c.channel, why)
		}
	}
	scoped := s.watch("/v1/ws", made(2*time.Second, lists("/room/7")))
	whole := s.watch("/v1/ws", made(2*time.Second, nil))
	for _, w := range []*watcher{scoped, whole} {
		if <-w.end; !strings.Contains(w.text(), `"bye":{"code":"unauthorized"}`) {
			t.Errorf("its token has ended: %s", w.text())
		}
	}
	if !strings.Contains(scoped.text(), `"/desk/1":{"error":{"code":"forbidden"`) || !strings.Contains(whole.text(), `"/desk/1":{"offset"`) {
		t.Errorf("subscribed: %s\nand %s", scoped.text(), whole.text())
	}
}

// A token for some channels does not take up the sessions of its user.
func TestScopedTokenHasSessionsOfItsOwn(t *testing.T) {
	issuer := newSignOn(t)
	s := newDesk(t, fmt.Sprintf("[[auth]]\ntype = \"token\"\nname = \"sso\"\nissuer = %q\njwks = \"%[1]s/keys\"\n", issuer.URL))
	connect := func(scope any) string {
		claims := jwt.MapClaims{"iss": issuer.URL, "aud": "orbitd", "sub": "carol", "exp": time.Now().Add(time.Hour).Unix()}
		if scope != nil {
			claims["channels"] = scope
		}
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["kid"] = "one"
		text, err := token.SignedString(issuer.key)
		must(t, err)
		_, body := s.do("POST", "http", "/v1/poll?wait=0", `{"id":1,"op":"connect","client":"laptop"}`+"\n"+`{"id":2,"op":"subscribe","channel":"/desk/1"}`, "Authorization", "Bearer "+text)
		return body
	}
	connect(nil)
	if body := connect(map[string]any{}); !strings.Contains(body, `"resumed":false`) {
		t.Errorf("for nothing: %s", body)
	}
	if body := connect(nil); !strings.Contains(body, `"resumed":true`) || !strings.Contains(body, `"subs":{"/desk/1"`) {
		t.Errorf("the user's own session: %s", body)
	}
}

package daemon_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
)

// A browser logs in and out. Its cookie is for pages of the site alone, whatever a
// foreign one sends along.
func TestBrowserLogin(t *testing.T) {
	s := newApps(t, "")
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	own := "http://" + s.address("http")
	login := func(header ...string) *http.Response {
		t.Helper()
		answer, _ := s.do("POST", "http", "/v1/login", "user=alice&password=alice-secret", append(form, header...)...)
		return answer
	}
	answer := login("Origin", own)
	cookies := answer.Cookies()
	if answer.StatusCode != 200 || len(cookies) != 2 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("%d, %v", answer.StatusCode, cookies)
	}
	if answer := login("Origin", "https://evil.example"); answer.StatusCode != 403 || len(answer.Cookies()) > 0 {
		t.Errorf("a foreign page logs somebody in: %d", answer.StatusCode)
	}
	cookie := cookies[0].Name + "=" + cookies[0].Value
	for _, call := range []string{
		"POST /v1/publish/a/closed 1", "POST /v1/publish {\"channel\":\"/a/closed\",\"data\":1}", "GET /v1/history/a/closed",
		"GET /v1/sse?channel=/a/closed", `POST /v1/poll?wait=0 {"id":1,"op":"connect","last":{"/a/closed":0}}`,
	} {
		method, rest, _ := strings.Cut(call, " ")
		path, body, _ := strings.Cut(rest, " ")
		for _, c := range []struct {
			header  []string
			allowed bool
		}{
			{[]string{"Origin", own}, true},
			{[]string{"Sec-Fetch-Site", "same-origin"}, true},
			{nil, false},
			{[]string{"Sec-Fetch-Site", "cross-site"}, false},
			{[]string{"Sec-Fetch-Site", "same-site"}, false},
			{[]string{"Sec-Fetch-Site", "none"}, false},
			{[]string{"Origin", "null"}, false},
			{[]string{"Origin", "https://evil.example"}, false},
		} {
			if c.allowed && strings.Contains(path, "sse") {
				continue // it does not end
			}
			answer, text := s.do(method, "http", path, body, append(c.header, "Cookie", cookie)...)
			allowed := answer.StatusCode == 200 && !strings.Contains(text, "forbidden")
			if allowed != c.allowed {
				t.Errorf("%s with %q: %d %s", call, c.header, answer.StatusCode, text)
			}
		}
	}
	answer, _ = s.do("POST", "http", "/v1/logout", "", "Origin", own, "Cookie", cookie)
	gone := answer.Cookies()
	if answer.StatusCode != 204 || len(gone) != 2 {
		t.Errorf("logged out by %d %v", answer.StatusCode, gone)
	}
	for _, c := range gone {
		if c.MaxAge >= 0 || c.Value != "" {
			t.Errorf("left behind: %v", c)
		}
	}
	for _, path := range []string{"/v1/history/a/closed", "/v1/sse?channel=/a/closed"} {
		if answer, _ := s.do("GET", "http", path, "", "Origin", own, "Cookie", cookie); answer.StatusCode != 401 {
			t.Errorf("%s after the logout: %d", path, answer.StatusCode)
		}
	}
	if answer, _ := s.do("POST", "http", "/v1/logout", "", "Origin", "https://evil.example", "Cookie", cookie); answer.StatusCode != 403 || len(answer.Cookies()) > 0 {
		t.Errorf("a foreign page logs somebody out: %d", answer.StatusCode)
	}
}

// Who guesses is told for how long to wait, by whichever call, also behind a proxy;
// the user logs in from elsewhere.
func TestGuessing(t *testing.T) {
	s := newApps(t, "")
	s.write("orbitd.toml", strings.Replace(s.text("orbitd.toml"), "origins", "trusted_proxies = [\"127.0.0.0/8\"]\norigins", 1))
	must(t, s.Reload(t.Context()))
	call := func(path, password, from string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.address("http")+path, strings.NewReader(`{"id":1,"op":"connect"}`))
		must(t, err)
		r.SetBasicAuth("alice", password)
		r.Header.Set("X-Forwarded-For", from)
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		must(t, err)
		must(t, answer.Body.Close())
		return answer
	}
	paths := []string{"/v1/login", "/v1/publish/a/open", "/v1/poll?wait=0", "/v1/stream", "/v1/sse"}
	for _, path := range paths {
		if answer := call(path, "guess", "198.51.100.7"); answer.StatusCode != 401 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	for _, path := range paths {
		if answer := call(path, "alice-secret", "198.51.100.7"); answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d, Retry-After %q", path, answer.StatusCode, answer.Header.Get("Retry-After"))
		}
	}
	if answer := call("/v1/login", "alice-secret", "198.51.100.8"); answer.StatusCode != 200 {
		t.Errorf("from elsewhere: %d", answer.StatusCode)
	}
}

// A user who is deleted, or has got another group, in a users' file alone: a recheck
// takes and gives what that means, and the configuration stays as it is.
func TestRecheckOfUsersFile(t *testing.T) {
	s := newApps(t, "")
	file := filepath.Join(s.folder, "ones")
	k := s.keep(t)
	_, token := s.do("POST", "http", "/v1/login", "user=alice&password=alice-secret", "Content-Type", "application/x-www-form-urlencoded")
	token, _, _ = strings.Cut(strings.TrimPrefix(token, `{"token":"`), `"`)
	k.post("/v1/stream", `{"id":1,"op":"connect","last":{"/a/closed":0}}`, "Authorization", "Bearer "+token)
	answer, err := http.ReadResponse(k.in, nil)
	must(t, err)
	lines := newLines(answer)
	lines.until(t, `"subs"`)
	must(t, fileauth.Delete(file, "alice"))
	must(t, s.Recheck(t.Context(), ""))
	if rest := lines.rest(); !strings.Contains(rest, `{"bye":{"code":"unauthorized"}}`) {
		t.Errorf("it goes on: %s", rest)
	}
	s.write("ones", "nonsense\n")
	before := s.Config()
	if err := s.Recheck(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "ones:1") {
		t.Errorf("a file that is not right: %v", err)
	}
	if s.Config() != before {
		t.Error("another configuration is in force")
	}
}

// A user who has as many named sessions as session.max_named is told what to do; others
// have their own, and so have those who come back.
func TestNamedSessionsOfAUser(t *testing.T) {
	s := newDesk(t, "\n[session]\nmax_named = 2\n")
	connect := func(user, name string) string {
		_, body := s.do("POST", "http", "/v1/poll?wait=0", fmt.Sprintf(`{"id":1,"op":"connect","client":%q}`, name), "Authorization", "Bearer "+token(t, s, user))
		return body
	}
	for _, c := range []struct{ user, name, want string }{
		{"alice", "laptop", `"resumed":false`}, {"alice", "phone", `"resumed":false`},
		{"alice", "watch", `"code":"too_large","message":"alice has 2 named sessions already (session.max_named): use their names (client) again`},
		{"bob", "laptop", `"resumed":false`}, {"alice", "phone", `"resumed":true`},
	} {
		if body := connect(c.user, c.name); !strings.Contains(body, c.want) {
			t.Errorf("%s, %s: %s", c.user, c.name, body)
		}
	}
}

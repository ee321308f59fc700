package attacks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
	"github.com/orbitd/orbitd/tests/slapd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const site = `
[server]
http    = "127.0.0.1:0"
control = ""
ops     = ""
origins = ["https://good.example"]

[engine]
type = "memory"

[[channel]]
match     = "/open/**"
subscribe = ["*"]
publish   = ["*"]

[[channel]]
match     = "/inbox/{user}"
subscribe = ["self"]
publish   = ["self"]

[[channel]]
match     = "/**"
subscribe = ["@authenticated"]
publish   = ["user:alice"]

[[auth]]
type = "token"
`

// A target is the daemon that is attacked.
type target struct {
	t    *testing.T
	base string

	mu  sync.Mutex
	log bytes.Buffer
}

func (a *target) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.Write(b)
}

// attack starts a daemon with two users of a file, alice and bob, and what more says.
func attack(t *testing.T, more string) *target {
	t.Helper()
	a := &target{t: t}
	folder := t.TempDir()
	for _, user := range []string{"alice", "bob"} {
		_, err := fileauth.SetPassword(filepath.Join(folder, "users"), user, user+"-secret", nil)
		must(t, err)
	}
	file := filepath.Join(folder, "orbitd.toml")
	must(t, os.WriteFile(file, []byte(site+more), 0o600))
	log := logrus.New()
	log.SetOutput(a)
	d, err := daemon.Start(daemon.Options{Load: func() (*config.Config, error) { return config.Load(file) }, Logger: log})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		must(t, d.Stop(ctx))
	})
	a.base = "http://" + d.Addrs("http")[0].String()
	return a
}

const users = `
[[auth]]
type = "file"
path = "users"
`

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// call sends a request as it stands, and returns status and body.
func (a *target) call(method, path, body string, header ...string) (int, string) {
	a.t.Helper()
	u, err := url.Parse(a.base)
	must(a.t, err)
	path, u.RawQuery, _ = strings.Cut(path, "?")
	u.Opaque = "//" + u.Host + path // net/url cleans nothing then
	r := &http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r.WithContext(a.t.Context()))
	must(a.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(a.t, err)
	return answer.StatusCode, string(text)
}

func (a *target) login(user, password string) (int, string) {
	a.t.Helper()
	form := url.Values{"user": {user}, "password": {password}}
	return a.call("POST", "/v1/login", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func (a *target) token(user string) string {
	a.t.Helper()
	status, body := a.login(user, user+"-secret")
	var got struct{ Token, User string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		a.t.Fatalf("%s cannot log in: %d %s", user, status, body)
	}
	return got.Token
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// Whatever stands in place of a channel's name, it is that channel or none: nothing
// is decoded twice, cleaned, folded or completed.
func TestNames(t *testing.T) {
	a := attack(t, users)
	alice, bob := bearer(a.token("alice")), bearer(a.token("bob"))
	for _, c := range []struct {
		what, path string
		who        []string
		status     int
	}{
		{"what is open to all", "/open/a", nil, 200},
		{"what is alice's", "/closed/a", alice, 200},
		{"the same for anybody", "/closed/a", nil, 403},
		{"the same for bob", "/closed/a", bob, 403},
		{"an empty segment", "/open//a", nil, 404},
		{"an empty first segment", "//open/a", nil, 404},
		{"a slash at the end", "/open/a/", nil, 404},
		{"up and down", "/open/../closed/a", nil, 404},
		{"the same, encoded", "/open/%2e%2e/closed/a", nil, 404},
		{"the same, encoded twice", "/open/%252e%252e/closed/a", nil, 404},
		{"here", "/open/./a", nil, 404},
		{"a slash, encoded", "/open%2fa", nil, 404},
		{"a backslash", "/open/..%5cclosed", nil, 404},
		{"NUL", "/open/a%00", nil, 404},
		{"a line end", "/open/a%0d%0ab", nil, 404},
		{"other case", "/OPEN/a", nil, 403},
		{"letters that look alike", "/%D0%BEpen/a", nil, 404}, // a Cyrillic o
		{"full width", "/%EF%BD%8Fpen/a", nil, 404},
		{"bytes that are no text", "/open/%ff%fe", nil, 404},
		{"a character that combines", "/open/e%CC%81", nil, 404},
		{"a wildcard", "/open/*", nil, 404},
		{"a wildcard in a user's place", "/inbox/*", bob, 404},
		{"a variable", "/inbox/{user}", bob, 404},
		{"another user's name", "/inbox/alice", bob, 403},
		{"a user's name in other case", "/inbox/BOB", bob, 403},
		{"a user's own", "/inbox/bob", bob, 200},
		{"the server's own channels", "/$sys/x", alice, 403},
		{"the same, encoded", "/%24sys/x", alice, 403},
		{"the same, further down", "/open/$sys", nil, 403},
		{"a dollar elsewhere", "/open/a$b", nil, 404},
		{"a parameter of a segment", "/open/a;b", nil, 404},
		{"256 bytes", "/open/" + strings.Repeat("a", 250), nil, 404},
	} {
		for _, call := range [][2]string{{"POST", "/v1/publish"}, {"GET", "/v1/history"}} {
			want := c.status
			if call[0] == "GET" && c.what == "the same for bob" {
				want = 200 // whom the rule lets read
			}
			if status, body := a.call(call[0], call[1]+c.path, "1", c.who...); status != want && !(call[0] == "GET" && status == 400) {
				t.Errorf("%s: %s%s: %d %s, want %d", c.what, call[1], c.path, status, body, want)
			}
		}
	}
	for _, channel := range []string{"/$sys/x", "/open/$x", "/open/../closed", "/open/\u0000", "/open/ａ", "/open/*", "/**"} {
		name, err := json.Marshal(channel)
		must(t, err)
		for _, op := range []string{`{"id":2,"op":"subscribe","channel":%s}`, `{"id":2,"op":"publish","channel":%s,"data":1}`, `{"id":2,"op":"history","channel":%s}`} {
			_, body := a.call("POST", "/v1/poll?wait=0", `{"id":1,"op":"connect"}`+"\n"+fmt.Sprintf(op, name), alice...)
			if !strings.Contains(body, `{"re":2,"error":{"code":"forbidden"`) && !strings.Contains(body, `{"re":2,"error":{"code":"unknown_channel"`) {
				t.Errorf("%s on %s: %s", op, channel, body)
			}
		}
		status, body := a.call("POST", "/v1/publish", fmt.Sprintf(`{"channel":%s,"data":1}`, name), alice...)
		if strings.Contains(body, `"offset"`) {
			t.Errorf("a batch with %s: %d %s", channel, status, body)
		}
	}
}

// A session is its user's, and needs its secret; who has one of the two learns not
// even whether there is such a session.
func TestSessions(t *testing.T) {
	a := attack(t, users)
	alice, bob := bearer(a.token("alice")), bearer(a.token("bob"))
	connect := func(fields string, who []string) (s struct {
		Session, Secret string
		Resumed         bool
		Subs            map[string]any
	}) {
		t.Helper()
		status, body := a.call("POST", "/v1/poll?wait=0", `{"id":1,"op":"connect"`+fields+`}`, who...)
		line, _, _ := strings.Cut(body, "\n")
		if err := json.Unmarshal([]byte(line), &s); err != nil || status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		return s
	}
	hers := connect(`,"last":{"/closed/a":0}`, alice)
	for what, c := range map[string]struct {
		who             []string
		session, secret string
	}{
		"another user, with id and secret": {bob, hers.Session, hers.Secret},
		"nobody, with id and secret":       {nil, hers.Session, hers.Secret},
		"the user, without the secret":     {alice, hers.Session, strings.Repeat("A", len(hers.Secret))},
		"a part of the secret":             {alice, hers.Session, hers.Secret[:len(hers.Secret)-1]},
		"the id as the secret":             {alice, hers.Session, hers.Session},
		"an id that is none":               {alice, strings.Repeat("A", len(hers.Session)), hers.Secret},
		"an id that is no id":              {alice, "../../" + hers.Session, hers.Secret},
	} {
		got := connect(fmt.Sprintf(`,"session":%q,"secret":%q`, c.session, c.secret), c.who)
		if got.Resumed || got.Session == hers.Session || len(got.Subs) > 0 {
			t.Errorf("%s: %+v", what, got)
		}
		status, body := a.call("POST", "/v1/send", `{"id":2,"op":"publish","channel":"/open/a","data":1}`,
			append(slices.Clone(c.who), "Orbit-Session", c.session, "Orbit-Secret", c.secret)...)
		if status != 410 {
			t.Errorf("%s, by send: %d %s", what, status, body)
		}
	}
	named := connect(`,"client":"laptop","last":{"/closed/a":0}`, alice)
	if got := connect(`,"client":"laptop"`, bob); got.Resumed || got.Session == named.Session || len(got.Subs) > 0 {
		t.Errorf("another user's name of a session: %+v", got)
	}
	if got := connect(fmt.Sprintf(`,"session":%q,"secret":%q`, hers.Session, hers.Secret), alice); !got.Resumed || len(got.Subs) != 1 {
		t.Errorf("after all that the session is not its user's: %+v", got)
	}
}

// A foreign page gets nothing by a cookie that its visitor's browser sends along.
func TestForeignPages(t *testing.T) {
	a := attack(t, users)
	cookie := "orbit_token=" + a.token("alice")
	host := strings.TrimPrefix(a.base, "http://")
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	for _, origin := range []string{
		"https://evil.example", "null", "https://good.example.evil.example", "https://evil-good.example", "http://good.example",
		"https://good.example:8443", "https://good.example/", "https://user@good.example", "HTTPS://GOOD.EXAMPLE", "https://good.example.",
		"http://" + host + ".evil.example", "http://evil." + host, "http://evil-" + host, "file://", "http://127.0.0.1",
	} {
		for _, call := range []string{"GET /v1/ws", "GET /v1/sse?channel=/closed/a", "POST /v1/sse", "POST /v1/stream", "POST /v1/poll", "POST /v1/send",
			"POST /v1/publish/closed/a", "POST /v1/publish", "GET /v1/history/closed/a", "POST /v1/login", "POST /v1/logout", "OPTIONS /v1/publish/closed/a"} {
			method, path, _ := strings.Cut(call, " ")
			header := []string{"Origin", origin, "Cookie", cookie}
			if path == "/v1/ws" {
				header = append(header, upgrade...)
			}
			if status, body := a.call(method, path, "", header...); status != 403 {
				t.Errorf("%s from %s: %d %s", call, origin, status, body)
			}
		}
	}
	// Where a browser says no origin, as of a page or a picture that is got, the cookie counts
	// if it vouches for that of the server itself.
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "none": 403, "": 403, "same-origin": 200} {
		if status, body := a.call("GET", "/v1/history/closed/a", "", "Cookie", cookie, "Sec-Fetch-Site", site); status != want {
			t.Errorf("a cookie beside Sec-Fetch-Site %q: %d %s", site, status, body)
		}
	}
}

// What a client writes is one line of the log, and one event of a stream.
func TestInjection(t *testing.T) {
	a := attack(t, users+"\n[log]\nlevel = \"debug\"\n")
	evil := "x\r\nlevel=error msg=forged\x1b[31m\u202e\u2028"
	a.login(evil, "guess")
	a.call("POST", "/v1/publish/closed/a", "1", "Authorization", "Bearer "+strings.Map(printable, evil), "X-Forwarded-For", strings.Map(printable, evil), "User-Agent", strings.Map(printable, evil))
	a.call("POST", "/v1/poll?wait=0", `{"id":1,"op":"connect","token":"x\r\nlevel=error msg=forged\u001b[31m"}`)
	a.call("GET", "/v1/sse?channel=/open/a&token=x%0d%0alevel=error%20msg=forged%1b", "")
	data, err := json.Marshal("x\n\nevent: bye\ndata: {}\r\rid: 1\n\n\x00\u2028")
	must(t, err)
	status, body := a.call("POST", "/v1/publish", fmt.Sprintf(`{"channel":"/open/a","data":%s,"h":{"a\nb":"c\r\n\r\nevent: bye"}}`, data))
	if status != 200 || !strings.Contains(body, `"offset"`) {
		t.Fatalf("%d %s", status, body)
	}
	status, body = a.call("POST", "/v1/publish/open/a", "x\n\nevent: bye\n\n", "Content-Type", "text/plain;a=\"b\\\"\"")
	if status != 200 && status != 400 {
		t.Errorf("%d %s", status, body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", a.base+"/v1/sse?channel=/open/a&after=0", nil)
	must(t, err)
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	must(t, err)
	defer answer.Body.Close()
	var stream strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(stream.String(), "-3\ndata: ") && !strings.Contains(stream.String(), `"b":"`) {
		n, err := answer.Body.Read(buffer)
		stream.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v after %s", err, stream.String())
		}
	}
	if strings.Contains(stream.String(), "\nevent: bye") || strings.ContainsAny(stream.String(), "\r\x00\u2028") {
		t.Errorf("an event was forged: %q", stream.String())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range strings.Lines(a.log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "level=error") && !strings.Contains(line, `\nlevel=error`) || strings.ContainsAny(line, "\x1b\r\u202e\u2028") {
			t.Errorf("a line was forged: %q", line)
		}
	}
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// What stands in a name or a password means nothing to a directory.
func TestDirectory(t *testing.T) {
	a, _ := directory(t)
	for what, c := range map[string][2]string{
		"all names":                   {"*", "alice-secret"},
		"a part of a name":            {"alic*", "alice-secret"},
		"a filter in a name":          {"alice)(uid=*", "alice-secret"},
		"one that is always true":     {"x)(|(uid=*", "alice-secret"},
		"one that ends early":         {"alice))(&(uid=x", "alice-secret"},
		"an escape":                   {`\2a`, "alice-secret"},
		"an escaped name":             {`\61lice`, "alice-secret"},
		"a DN":                        {slapd.Person("alice"), "alice-secret"},
		"a part of a DN":              {"alice,ou=people", "alice-secret"},
		"a second attribute":          {"alice+cn=alice", "alice-secret"},
		"NUL in a name":               {"alice\x00", "alice-secret"},
		"NUL in a password":           {"alice", "alice-secret\x00"},
		"NUL as a password":           {"alice", "\x00"},
		"no password":                 {"alice", ""},
		"spaces for a password":       {"alice", " "},
		"the password's hash":         {"alice", "{SSHA}x"},
		"a name of two entries":       {"twin", "twin-secret"},
		"another's password":          {"alice", "bob-secret"},
		"the service's account":       {"orbitd", slapd.ServicePassword},
		"bytes that are no text":      {"alice\xff", "alice-secret"},
		"a name longer than any name": {strings.Repeat("a", 5000), "x"},
	} {
		status, body := a.login(c[0], c[1])
		if status != 401 {
			t.Errorf("%s: %d %s", what, status, body)
		}
		if status, body := a.login("bob", "bob-secret"); status != 200 {
			t.Fatalf("after %s bob cannot log in: %d %s", what, status, body)
		}
	}
	// A name that looks like a pattern is that name and nothing more.
	const odd = `a*(b)\c`
	who := bearer(a.token(odd))
	for _, name := range []string{"a", "ab", "alice", "bob", "aXb"} {
		if status, body := a.call("GET", "/v1/history/inbox/"+name, "", who...); status != 403 {
			t.Errorf("%s reads the inbox of %s: %d %s", odd, name, status, body)
		}
	}
	if status, body := a.call("GET", "/v1/history/inbox/"+url.PathEscape(odd), "", who...); status != 404 {
		t.Errorf("a channel of that name: %d %s", status, body)
	}
}

package daemon_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
)

const twoApps = `
[app.a]
auth    = ["ones"]
origins = ["https://a.example"]
%s
[app.b]
auth    = ["twos"]

[[auth]]
type = "file"
name = "ones"
path = "ones"

[[auth]]
type = "file"
name = "twos"
path = "twos"

[[auth]]
type = "token"

[[channel]]
match     = "/*/open"
subscribe = ["*"]
publish   = ["*"]

[[channel]]
match     = "/*/closed"
subscribe = ["@authenticated"]
publish   = ["@authenticated"]
`

// newApps starts a daemon with two applications, each with a user of its own.
func newApps(t *testing.T, quota string) *site {
	t.Helper()
	s := &site{t: t, folder: t.TempDir()}
	s.write("orbitd.toml", server+small+fmt.Sprintf(twoApps, quota))
	for file, user := range map[string]string{"ones": "alice", "twos": "bob"} {
		_, err := fileauth.SetPassword(filepath.Join(s.folder, file), user, user+"-secret", nil)
		must(t, err)
	}
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	return s
}

// opened returns the first lines of a connection that a page of an origin opens to
// both applications.
func (s *site) opened(path, origin string) string {
	s.t.Helper()
	const connect = `{"id":1,"op":"connect","last":{"/a/open":0,"/b/open":0}}`
	k := s.keep(s.t)
	if path == "/v1/ws" {
		_, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP{"Origin": {origin}}}.Upgrade(k, &url.URL{Scheme: "ws", Host: s.address("http"), Path: path})
		must(s.t, err)
		must(s.t, ws.WriteFrame(k, ws.MaskFrame(ws.NewTextFrame([]byte(connect)))))
		answer, err := wsutil.ReadServerText(k)
		must(s.t, err)
		return string(answer)
	}
	if strings.Contains(path, "channel=") {
		_, err := fmt.Fprintf(k, "GET %s HTTP/1.1\r\nHost: here\r\nOrigin: %s\r\n\r\n", path, origin)
		must(s.t, err)
	} else {
		k.post(path, connect, "Origin", origin)
	}
	answer, err := http.ReadResponse(k.in, nil)
	must(s.t, err)
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"subs"`) {
			return lines.Text()
		}
	}
	s.t.Fatalf("%s: %d, and no answer", path, answer.StatusCode)
	return ""
}

// A page uses the applications whose origins list its own, over each transport, and
// the others on the same connection not.
func TestOriginsOfApplications(t *testing.T) {
	s := newApps(t, "")
	for _, path := range []string{"/v1/ws", "/v1/stream", "/v1/sse", "/v1/poll?wait=0", "/v1/sse?channel=/a/open&channel=/b/open"} {
		for origin, refused := range map[string]string{"https://a.example": "b", "https://good.example": "a"} {
			got := s.opened(path, origin)
			if strings.Count(got, "forbidden") != 1 || !strings.Contains(got, "app."+refused+".origins") {
				t.Errorf("%s from %s: %s", path, origin, got)
			}
		}
	}
	for origin, want := range map[string]int{"https://a.example": 200, "https://good.example": 403, "https://evil.example": 403, "": 200} {
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		if answer, body := s.do("POST", "http", "/v1/publish/a/open", "1", header...); answer.StatusCode != want {
			t.Errorf("publish from %q: %d %s, want %d", origin, answer.StatusCode, body, want)
		}
	}
}

// A page of an application's origin renews and ends its visitor's login by the cookie,
// without a look at any token: with one in hand it could use the other application.
func TestPagesSeeNoTokens(t *testing.T) {
	s := newApps(t, "")
	page := []string{"Content-Type", form, "Origin", "https://a.example"}
	answer, _ := s.do("POST", "http", "/v1/login", "user=alice&password=alice-secret", "Content-Type", form, "Origin", "http://"+s.address("http"))
	cookies := func() (all string) {
		for _, c := range answer.Cookies() {
			all += c.Name + "=" + c.Value + "; "
		}
		return all
	}
	for range 2 {
		var body string
		answer, body = s.do("POST", "http", "/v1/refresh", "", append(page, "Cookie", cookies())...)
		if answer.StatusCode != 200 || strings.Contains(body, "token") || strings.Contains(body, "refresh") || len(answer.Cookies()) != 2 {
			t.Fatalf("renewed: %d %s %v", answer.StatusCode, body, answer.Cookies())
		}
		for _, c := range answer.Cookies() {
			if strings.Contains(body, c.Value) || !c.HttpOnly {
				t.Errorf("the page sees %s", c.Name)
			}
		}
	}
	renewed := cookies()
	publish := func(status int) {
		t.Helper()
		if answer, body := s.do("POST", "http", "/v1/publish/a/closed", "1", "Origin", "https://a.example", "Cookie", renewed); answer.StatusCode != status {
			t.Errorf("%d %s, want %d", answer.StatusCode, body, status)
		}
	}
	publish(http.StatusOK)
	if answer, _ := s.do("POST", "http", "/v1/logout", "", append(page, "Cookie", renewed)...); answer.StatusCode != http.StatusNoContent {
		t.Errorf("logged out by %d", answer.StatusCode)
	}
	publish(http.StatusUnauthorized)
}

// What one application floods is refused, by a text that names the key; another one
// on the same server loses nothing. A batch for both stores what is the other's.
func TestFloodOfOneApplication(t *testing.T) {
	s := newApps(t, `quota = { publish_rate = 20, stored = "1MiB", connections = 1, sessions = 2 }`)
	var flood sync.WaitGroup
	var refused sync.Map
	for range 4 {
		flood.Go(func() {
			for range 50 {
				answer, body := s.do("POST", "http", "/v1/publish/a/open", "1")
				if answer.StatusCode != 200 {
					refused.Store(fmt.Sprint(answer.StatusCode, " after ", answer.Header.Get("Retry-After"), " ", body), true)
				}
			}
		})
	}
	for range 50 {
		s.publish("/b/open", 200)
	}
	flood.Wait()
	n := 0
	refused.Range(func(text, _ any) bool {
		n++
		if !strings.HasPrefix(text.(string), "429 after 1 ") || !strings.Contains(text.(string), "app.a.quota.publish_rate") {
			t.Errorf("refused by %s", text)
		}
		return true
	})
	if n == 0 {
		t.Error("200 messages at once are within 20 a second")
	}
	lines := strings.Repeat(`{"channel":"/a/open","data":1}`+"\n", 150) + strings.Repeat(`{"channel":"/b/open","data":1}`+"\n", 3)
	for range 2 { // the second is stored if the first is refused
		s.do("POST", "http", "/v1/publish", lines)
	}
	_, body := s.do("POST", "http", "/v1/publish", lines)
	answers := strings.Split(strings.TrimSpace(body), "\n")
	if len(answers) != 153 || !strings.Contains(body, "rate_limited") {
		t.Fatalf("the batch was answered by %.300s", body)
	}
	for _, answer := range answers[150:] {
		if !strings.Contains(answer, `"offset"`) {
			t.Errorf("a message of the other application was answered by %s", answer)
		}
	}
}

// One connection, an identity for each application: each has the rights of its own
// and no others, and bears its own name.
func TestIdentityOfEachApplication(t *testing.T) {
	s := newApps(t, "")
	door := "http://" + s.address("http")
	c, err := client.New(client.Options{URL: door, Token: client.Login(door, "alice", "alice-secret", nil)})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	defer func() { cancel(); <-done }()
	publish := func(name string, want message.Code) {
		t.Helper()
		_, err := c.Publish(t.Context(), client.Publication{Channel: channel.Name(name), Data: []byte("1")})
		if message.CodeOf(err) != want {
			t.Errorf("publish to %s: %v, want %q", name, err, want)
		}
	}
	publish("/a/closed", "")
	publish("/b/closed", message.Forbidden)
	token := func(user string) string {
		token, err := client.Login(door, user, user+"-secret", nil)(t.Context())
		must(t, err)
		return token
	}
	if _, err := c.Auth(t.Context(), "b", token("alice")); message.CodeOf(err) != message.Unauthorized {
		t.Errorf("the realm of another application: %v", err)
	}
	user, err := c.Auth(t.Context(), "b", token("bob"))
	must(t, err)
	publish("/b/closed", "")
	publish("/a/closed", "")
	for app, name := range map[string]string{"a": "alice", "b": "bob"} {
		_, body := s.do("GET", "http", "/v1/history/"+app+"/closed", "", "Authorization", "Bearer "+token(name))
		if !strings.Contains(body, `"by":"`+name+`"`) {
			t.Errorf("/%s is by %s", app, body)
		}
	}
	live, revoked := make(chan bool, 1), make(chan message.Code, 1)
	must(t, c.Subscribe(client.Subscription{
		Channel: "/b/closed", OnMessage: func(*message.Message, message.Epoch, bool) {},
		OnLive: func(message.Position) { live <- true }, OnEnd: func(e *message.Error) { revoked <- e.Code },
	}))
	<-live
	// A realm that is taken from an application vouches for nobody there any more, whoever
	// has come by it before.
	s.write("orbitd.toml", strings.Replace(s.text("orbitd.toml"), `["twos"]`, `["ones"]`, 1))
	must(t, s.Reload(t.Context()))
	publish("/b/closed", message.Unauthorized)
	publish("/a/closed", "")
	select { // it was said before the publish was answered
	case code := <-revoked:
		if code != message.Unauthorized {
			t.Errorf("the subscription was revoked with %q", code)
		}
	default:
		t.Error("the subscription goes on")
	}
	s.write("orbitd.toml", strings.Replace(s.text("orbitd.toml"), "[app.b]\nauth    = [\"ones\"]", "[app.b]\nauth    = [\"twos\"]", 1))
	must(t, s.Reload(t.Context()))
	publish("/b/closed", "")
	// Of a user who is deleted from one realm, the other application knows nothing.
	must(t, fileauth.Delete(filepath.Join(s.folder, "twos"), user))
	must(t, s.Reload(t.Context()))
	publish("/b/closed", message.Unauthorized)
	publish("/a/closed", "")
}

// A mistake in an application's file takes that application out, loudly, and no
// other; what it had stored is there again when the file is right.
func TestMistakeOfOneApplication(t *testing.T) {
	s := newApps(t, "")
	must(t, os.Mkdir(filepath.Join(s.folder, "apps.d"), 0o700))
	good := "[app]\nquota = { connections = 5 }\n[[channel]]\nmatch = \"/c/**\"\nsubscribe = [\"*\"]\npublish = [\"*\"]\n"
	s.write("apps.d/c.toml", good)
	must(t, s.Reload(t.Context()))
	s.publish("/c/1", 200)
	s.write("apps.d/c.toml", strings.Replace(good, "connections", "conections", 1))
	must(t, s.Reload(t.Context()))
	if body := s.publish("/c/1", 403); !strings.Contains(body, "the application c is disabled until its file is right (orbitd check)") {
		t.Errorf("it says %s", body)
	}
	s.publish("/c/open", 403) // which the main file's rules would allow
	s.publish("/a/open", 200)
	s.write("apps.d/c.toml", good)
	must(t, s.Reload(t.Context()))
	s.publish("/c/1", 200)
	must(t, s.Stop(t.Context()))
	for _, want := range []string{"this application is disabled", "app=c", "unknown key", "did you mean", "c.toml:2"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, s.log.String())
		}
	}
}

// lines are those of an answer that goes on.
type lines struct{ *bufio.Reader }

func newLines(answer *http.Response) lines { return lines{bufio.NewReader(answer.Body)} }

// until reads up to a line that has text in it.
func (l lines) until(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := l.ReadString('\n')
		must(t, err)
		if strings.Contains(line, text) {
			return
		}
	}
}

// rest reads to the end.
func (l lines) rest() string {
	var all strings.Builder
	_, _ = l.WriteTo(&all) // it may end by a reset
	return all.String()
}

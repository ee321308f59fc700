package daemon_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/tests/slapd"
)

// newLDAPSite starts a daemon whose users are those of a directory.
func newLDAPSite(t *testing.T, s *slapd.Server, keys string) *site {
	t.Helper()
	site := &site{t: t, folder: t.TempDir()}
	site.write("password", slapd.ServicePassword)
	site.write("orbitd.toml", server+small+s.Section("password", keys)+`
[[auth]]
type = "token"

[[channel]]
match = "/desk/**"
subscribe = ["group:traders"]
publish = ["*"]
`)
	must(t, site.start(nil))
	t.Cleanup(func() { must(t, site.Stop(t.Context())) })
	return site
}

// A reader is a client that subscribes to /desk/1.
type reader struct {
	*client.Client
	t     *testing.T
	ended error // of Run; valid once done is closed
	done  chan struct{}

	mu    sync.Mutex
	heard []string      // what has come: payloads, "live", "end CODE", "gap"
	wake  chan struct{} // closed when something comes
}

func (s *site) read(user string) *reader {
	s.t.Helper()
	r := &reader{t: s.t, done: make(chan struct{}), wake: make(chan struct{})}
	url := "http://" + s.address("http")
	c, err := client.New(client.Options{URL: url, Token: client.Login(url, user, user+"-secret", nil)})
	must(s.t, err)
	r.Client = c
	r.subscribe()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(r.done)
		r.ended = c.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-r.done
	})
	r.until("live")
	return r
}

func (r *reader) subscribe() {
	r.t.Helper()
	must(r.t, r.Subscribe(client.Subscription{
		Channel:   "/desk/1",
		OnMessage: func(m *message.Message, _ message.Epoch, _ bool) { r.hear(string(m.Data)) },
		OnLive:    func(message.Position) { r.hear("live") },
		OnGap:     func(client.Gap) { r.hear("gap") },
		OnEnd:     func(e *message.Error) { r.hear("end " + string(e.Code)) },
	}))
}

func (r *reader) hear(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, what)
	close(r.wake)
	r.wake = make(chan struct{})
}

// until waits until the reader has heard something, and returns all up to there.
func (r *reader) until(what string) string {
	r.t.Helper()
	for {
		r.mu.Lock()
		all, wake := strings.Join(r.heard, ", "), r.wake
		r.mu.Unlock()
		if before, _, found := strings.Cut(all+",", what+","); found {
			return before + what
		}
		select {
		case <-wake:
		case <-r.done:
			r.t.Fatalf("it has heard %q and ended: %v", all, r.ended)
		}
	}
}

// out waits until the client has given up, and returns why.
func (r *reader) out() message.Code {
	<-r.done
	return message.CodeOf(r.ended)
}

func (s *site) tell(data string) {
	s.t.Helper()
	answer, body := s.do("POST", "http", "/v1/publish/desk/1", data, "Content-Type", "application/json")
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%d %s", answer.StatusCode, body)
	}
}

// Who leaves a group loses what it gave within a refresh, without doing anything;
// who comes to it has it. Nobody else notices.
func TestGroupLeftWhileConnected(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, `refresh = "1s"`)
	alice, bob := s.read("alice"), s.read("bob")
	s.tell("1")
	alice.until("1")
	bob.until("1")
	d.Leave(slapd.Group("traders"), slapd.Person("bob"))
	left := time.Now()
	bob.until("end forbidden")
	t.Logf("cut off %v after the group was left, with a refresh of 1 s", time.Since(left).Round(10*time.Millisecond))
	s.tell("2")
	s.tell("3")
	alice.until("1, 2, 3")
	bob.subscribe()
	if heard := bob.until("end forbidden, end forbidden"); heard != "live, 1, end forbidden, end forbidden" {
		t.Errorf("bob has heard %q", heard)
	}
	if answer, _ := s.do("GET", "http", "/v1/history/desk/1", "", "Authorization", "Bearer "+token(t, s, "bob")); answer.StatusCode != http.StatusForbidden {
		t.Errorf("the past: %d", answer.StatusCode)
	}
	d.Join(slapd.Group("traders"), slapd.Person("bob"))
	for refused := true; refused; {
		bob.mu.Lock()
		before := len(bob.heard)
		wake := bob.wake
		bob.mu.Unlock()
		bob.subscribe()
		<-wake
		bob.mu.Lock()
		refused = bob.heard[before] != "live"
		bob.mu.Unlock()
	}
	s.tell("4")
	bob.until("live, 4")
	alice.until("live, 1, 2, 3, 4")
}

func token(t *testing.T, s *site, user string) string {
	t.Helper()
	text, err := client.Login("http://"+s.address("http"), user, user+"-secret", nil)(t.Context())
	must(t, err)
	return text
}

// Who is deleted, or whose account is closed, is sent away, and comes back with
// neither the password nor the token.
func TestUserDeletedWhileConnected(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, `refresh = "1s"`)
	alice, bob := s.read("alice"), s.read("bob")
	text := token(t, s, "bob")
	d.Delete(slapd.Person("bob"))
	d.Set(slapd.Person("alice"), "pwdAccountLockedTime", "000001010000Z")
	for name, r := range map[string]*reader{"alice": alice, "bob": bob} { // who tried to log in again
		if code := r.out(); code != message.Unauthorized {
			t.Errorf("%s has ended with %v", name, r.ended)
		}
	}
	if answer, _ := s.do("GET", "http", "/v1/history/desk/1", "", "Authorization", "Bearer "+text); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the token: %d", answer.StatusCode)
	}
}

// A reload looks everybody up at once. When it returns, nothing more comes that is
// not allowed.
func TestReloadAsksTheDirectory(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, `refresh = "1d"`)
	alice, bob := s.read("alice"), s.read("bob")
	d.Leave(slapd.Group("traders"), slapd.Person("bob"))
	must(t, s.Reload(t.Context()))
	s.tell("1")
	alice.until("live, 1")
	if heard := bob.until("end forbidden"); heard != "live, end forbidden" {
		t.Errorf("bob has heard %q", heard)
	}
}

// One user is looked up at once, and nobody else: when that returns, nothing more comes
// that is not allowed. While the directory is down whoever asks is told.
func TestRecheckOfOneUser(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, `refresh = "1d"`)
	alice, bob := s.read("alice"), s.read("bob")
	d.Join(slapd.Group("traders"), slapd.Person("carol")) // there must be somebody
	for _, user := range []string{"alice", "bob"} {
		d.Leave(slapd.Group("traders"), slapd.Person(user))
	}
	must(t, s.Recheck(t.Context(), "bob"))
	s.tell("1")
	alice.until("live, 1")
	if heard := bob.until("end forbidden"); heard != "live, end forbidden" {
		t.Errorf("bob has heard %q", heard)
	}
	d.Stop()
	if err := s.Recheck(t.Context(), ""); err == nil || !strings.Contains(err.Error(), `auth "ldap": connected users could not be looked up again`) {
		t.Errorf("without a directory: %v", err)
	}
	s.tell("2")
	alice.until("live, 1, 2")
}

// While the directory is down those who are connected stay, through rounds and a
// reload; nobody new can log in, and is told to try again.
func TestDirectoryDown(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, `refresh = "1s"`)
	alice := s.read("alice")
	text := token(t, s, "alice")
	d.Stop()
	must(t, s.Reload(t.Context()))
	s.tell("1")
	alice.until("live, 1")
	answer, body := s.do("POST", "http", "/v1/login", "user=bob&password=bob-secret", "Content-Type", "application/x-www-form-urlencoded")
	if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "try again later") {
		t.Errorf("a login: %d %s", answer.StatusCode, body)
	}
	if answer, _ := s.do("GET", "http", "/v1/history/desk/1", "", "Authorization", "Bearer "+text); answer.StatusCode != http.StatusOK {
		t.Errorf("the token of somebody who is known: %d", answer.StatusCode)
	}
	s.tell("2")
	alice.until("live, 1, 2")
}

// After the grace nobody gets anything, until the directory is there again; then
// nothing is missing, and nothing comes twice.
func TestGraceIsOver(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, `refresh = "1s"
grace = "0s"
remember = "0s"`)
	alice := s.read("alice")
	s.tell("1")
	alice.until("live, 1")
	d.Stop()
	for s.Clients() > 0 { // alice is sent away, and tries again
		time.Sleep(time.Millisecond)
	}
	s.tell("2")
	d.Restart()
	s.tell("3")
	heard := alice.until("3")
	if strings.ReplaceAll(heard, "live, ", "") != "1, 2, 3" {
		t.Errorf("alice has heard %q", heard)
	}
}

// A reload with another directory forgets what was known by the one before.
func TestOtherDirectory(t *testing.T) {
	first, second := slapd.Start(t, slapd.Options{}), slapd.Start(t, slapd.Options{})
	second.Leave(slapd.Group("traders"), slapd.Person("bob"))
	s := newLDAPSite(t, first, "")
	alice, bob := s.read("alice"), s.read("bob")
	other := newLDAPSite(t, second, "")
	text := strings.Replace(other.text("orbitd.toml"), "file:password", "file:"+other.folder+"/password", 1)
	s.write("orbitd.toml", text)
	must(t, s.Reload(t.Context()))
	s.tell("1")
	alice.until("live, 1")
	if heard := bob.until("end forbidden"); heard != "live, end forbidden" {
		t.Errorf("bob has heard %q", heard)
	}
}

// Who is in more groups than a token has room for logs in all the same.
func TestManyGroups(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	for i := range 300 {
		name := fmt.Sprintf("a group with a long name, number %d", i)
		d.Add(`cn=`+strings.ReplaceAll(name, ",", `\,`)+","+slapd.Groups, "objectClass: groupOfNames", "cn: "+name, "member: "+slapd.Person("alice"))
	}
	s := newLDAPSite(t, d, "")
	alice := s.read("alice")
	s.tell("1")
	alice.until("live, 1")
}

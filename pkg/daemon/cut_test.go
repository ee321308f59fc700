package daemon_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/tests/slapd"
)

// A watcher is a client without a library, on one transport.
type watcher struct {
	path string
	next func() (string, error) // line or message

	mu  sync.Mutex
	all strings.Builder
	cut chan struct{} // closed when it is told that its right has ended
	end chan struct{} // closed with its connection
}

// stomp ends the path of a WebSocket that speaks STOMP.
const stomp = " stomp"

// watch opens /desk/1 on a transport and returns when that is done.
func (s *site) watch(path, token string) *watcher {
	s.t.Helper()
	const connect = `{"id":1,"op":"connect","last":{"/desk/1":0}}`
	w := &watcher{path: path, cut: make(chan struct{}), end: make(chan struct{})}
	k := s.keep(s.t)
	switch bearer := []string{"Authorization", "Bearer " + token}; {
	case strings.HasPrefix(path, "/v1/ws"):
		first, dialer := []string{strings.Replace(connect, `"op"`, `"token":"`+token+`","op"`, 1)}, ws.Dialer{}
		if strings.HasSuffix(path, stomp) {
			dialer.Protocols = []string{"v12.stomp"}
			first = []string{"CONNECT\naccept-version:1.2\nhost:here\nlogin:bob\npasscode:bob-secret\n\n\x00", "SUBSCRIBE\nid:1\ndestination:/desk/1\n\n\x00"}
		}
		_, _, err := dialer.Upgrade(k, &url.URL{Scheme: "ws", Host: s.address("http"), Path: "/v1/ws"})
		must(s.t, err)
		for _, text := range first {
			must(s.t, wsutil.WriteClientText(k, []byte(text)))
		}
		w.next = func() (string, error) {
			text, err := wsutil.ReadServerText(k)
			return string(text), err
		}
	default:
		if strings.Contains(path, "channel=") {
			_, err := fmt.Fprintf(k, "GET %s HTTP/1.1\r\nHost: here\r\nAuthorization: %s\r\n\r\n", path, bearer[1])
			must(s.t, err)
		} else {
			k.post(path, connect, bearer...)
		}
		var body *bufio.Reader
		w.next = func() (string, error) {
			if body == nil { // a poll is not answered before there is something
				answer, err := http.ReadResponse(k.in, nil)
				if err != nil {
					return "", err
				}
				body = bufio.NewReader(answer.Body)
			}
			return body.ReadString('\n')
		}
	}
	go w.run()
	return w
}

func (w *watcher) run() {
	defer close(w.end)
	told := false
	for {
		text, err := w.next()
		w.mu.Lock()
		w.all.WriteString(text)
		w.mu.Unlock()
		if !told && (strings.Contains(text, `"revoked":{"code":"forbidden"`) || strings.HasPrefix(text, "ERROR\n") && strings.Contains(text, "not allowed for bob")) {
			told = true
			close(w.cut)
		}
		if err != nil {
			return
		}
	}
}

func (w *watcher) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// Who leaves a group is cut off within a refresh, over each transport and with a
// group that they are in through another; nothing comes after, not from the past
// either. Who stays notices nothing.
func TestGroupLeftOverEachTransport(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, "refresh = \"1s\"\nnested = \"recursive\"")
	s.write("orbitd.toml", strings.Replace(s.text("orbitd.toml"), "group:traders", "group:everyone", 1))
	must(t, s.Reload(t.Context()))
	alice, bearer := s.read("alice"), token(t, s, "bob")
	paths := []string{"/v1/ws", "/v1/ws" + stomp, "/v1/stream", "/v1/sse", "/v1/sse?channel=/desk/1", "/v1/poll?wait=55"}
	var all []*watcher
	for _, path := range paths {
		all = append(all, s.watch(path, bearer))
	}
	for s.Clients() < len(all)+1 {
		time.Sleep(time.Millisecond)
	}
	d.Leave(slapd.Group("traders"), slapd.Person("bob"))
	left := time.Now()
	for _, w := range all {
		<-w.cut
		t.Logf("%s: cut off after %.2f s, with a refresh of 1 s", w.path, time.Since(left).Seconds())
	}
	s.tell(`"hush"`)
	alice.until(`"hush"`)
	for _, path := range paths {
		if path == "/v1/ws" || strings.Contains(path, "channel=") {
			continue
		}
		if strings.HasSuffix(path, stomp) {
			<-s.watch(path, bearer).cut
			continue
		}
		again := s.watch(strings.Replace(path, "55", "0", 1), bearer)
		if strings.HasPrefix(path, "/v1/poll") {
			<-again.end
		}
		all = append(all, again)
	}
	answer, body := s.do("GET", "http", "/v1/sse?channel=/desk/1", "", "Authorization", "Bearer "+bearer)
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("an EventSource that comes back: %d %s", answer.StatusCode, body)
	}
	must(t, s.Stop(context.Background()))
	for _, w := range all {
		<-w.end
		if strings.Contains(w.text(), "hush") {
			t.Errorf("%s: %s", w.path, w.text())
		}
	}
}

// With a new password the old one is worth nothing, and who is connected stays:
// they are who they were.
func TestPasswordChangedWhileConnected(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, "refresh = \"1d\"\nremember = \"0s\"")
	alice := s.read("alice")
	d.Set(slapd.Person("alice"), "userPassword", "another")
	d.Set(slapd.Person("alice"), "pwdReset", "FALSE") // else it is the administrator's, to be changed first
	must(t, s.Recheck(t.Context(), ""))
	s.tell("1")
	alice.until("live, 1")
	login := func(password string) int {
		answer, _ := s.do("POST", "http", "/v1/login", "user=alice&password="+password, "Content-Type", "application/x-www-form-urlencoded")
		return answer.StatusCode
	}
	if old, now := login("alice-secret"), login("another"); old != http.StatusUnauthorized || now != http.StatusOK {
		t.Errorf("the old password: %d, the new one: %d", old, now)
	}
}

package daemon_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
)

func TestDoors(t *testing.T) {
	s := newSite(t, server+small+open)
	for _, test := range []struct {
		door, path string
		status     int
		want       string
	}{
		{"ops", "/healthz", 200, `"version":"test"`},
		{"ops", "/readyz", 200, `"status":"ok"`},
		{"ops", "/v1/history/open/a", 404, ""},
		{"http", "/healthz", 404, ""},
		{"http", "/readyz", 404, ""},
		{"http", "/v1/history/open/a", 200, `"messages":[]`},
		{"http", "/v1/history/none/../open/a", 404, `"unknown_channel"`},
		{"http", "/v1/nothing", 404, `"error"`},
		{"http", "/orbit.js", 200, "export"},
		{"http", "/demo/", 200, "<html"},
		{"http", "/demo/../orbit/", 307, ""},
		{"http", "/", 200, "orbitd works"},
		{"http", "/nothing", 404, ""},
	} {
		answer, body := s.do("GET", test.door, test.path, "")
		if answer.StatusCode != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s%s: %d %.200s, want %d %s", test.door, test.path, answer.StatusCode, body, test.status, test.want)
		}
	}
}

func TestPages(t *testing.T) {
	s := newSite(t, server+small+open)
	for _, path := range []string{"/orbit.js", "/demo/"} {
		answer, _ := s.do("GET", "http", path, "", "Origin", "https://anybody.example")
		h := answer.Header
		tag := h.Get("ETag")
		if tag == "" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v", path, h)
		}
		if answer, body := s.do("GET", "http", path, "", "If-None-Match", tag); answer.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s, unchanged: %d", path, answer.StatusCode)
		}
		demo := path == "/demo/"
		if policy := h.Get("Content-Security-Policy"); strings.Contains(policy, "default-src 'self'") != demo {
			t.Errorf("%s: policy %q", path, policy)
		}
		if free := h.Get("Access-Control-Allow-Origin"); (free == "*") == demo {
			t.Errorf("%s: for origin %q", path, free)
		}
	}
}

// TestRoot: the demo is shown where it works, as soon as it does.
func TestRoot(t *testing.T) {
	s := newSite(t, server+small+open)
	if answer, body := s.do("GET", "http", "/", ""); answer.StatusCode != 200 || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	s.write("orbitd.toml", server+small+strings.ReplaceAll(open, "/open/", "/chat/"))
	must(t, s.Reload(t.Context()))
	if answer, _ := s.do("GET", "http", "/", ""); answer.StatusCode != 302 || answer.Header.Get("Location") != "/demo/" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
}

func TestInheritedListeners(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &site{t: t, folder: t.TempDir()}
	s.write("orbitd.toml", server+small+open)
	must(t, s.start(map[string][]net.Listener{"http": {l}}))
	if s.address("http") != l.Addr().String() {
		t.Errorf("listens on %s and not on the socket that was handed over", s.address("http"))
	}
	s.publish("/open/a", 200)
	must(t, s.Stop(t.Context()))
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is open after the stop: %v", err)
	}
}

func TestUnknownSocketName(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &site{t: t, folder: t.TempDir()}
	s.write("orbitd.toml", server+small)
	err = s.start(map[string][]net.Listener{"hhtp": {l}})
	if err == nil || !strings.Contains(err.Error(), "FileDescriptorName=hhtp, on "+l.Addr().String()) || !strings.Contains(err.Error(), "FileDescriptorName=") {
		t.Fatalf("got %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a start that failed leaves the socket open: %v", err)
	}
}

func TestStartsThatFail(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	for want, text := range map[string]string{
		"hint: another process listens there": fmt.Sprintf("[server]\nhttp = %q\nops = \"\"\n", taken.Addr()) + small,
		"nothing to listen on":                "[server]\nhttp = \"\"\nops = \"\"\n" + small,
		"unknown key":                         "[server]\nhtpp = 1\n",
		"hint: write the address of one":      "[server]\nhttp = \"192.0.2.1:0\"\nops = \"\"\n" + small,
		"users:1: ":                           server + small + "[[auth]]\ntype = \"file\"\npath = \"users\"\n",
		"hint: engine.path must be a folder":  server + "[engine]\npath = \"users\"\n",
	} {
		s := &site{t: t, folder: t.TempDir()}
		s.write("orbitd.toml", text)
		s.write("users", "alice:nonsense\n")
		if err := s.start(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestOneDaemonAnEngine(t *testing.T) {
	s := newSite(t, server+small+open)
	second := &site{t: t, folder: s.folder}
	if err := second.start(nil); err == nil || !strings.Contains(err.Error(), "another daemon works in this folder") {
		t.Errorf("got %v", err)
	}
	s.publish("/open/a", 200)
}

func TestReload(t *testing.T) {
	s := newSite(t, server+small+open)
	s.publish("/open/a", 200)
	s.publish("/more/a", 403)
	s.write("orbitd.toml", server+small+strings.ReplaceAll(open, "/open/", "/more/"))
	must(t, s.Reload(t.Context()))
	s.publish("/open/a", 403)
	s.publish("/more/a", 200)
}

// TestReloadThatFails: whatever is wrong, everything stays as it was.
func TestReloadThatFails(t *testing.T) {
	users := "[[auth]]\ntype = \"file\"\npath = \"users\"\n"
	s := &site{t: t, folder: t.TempDir()}
	s.write("users", "")
	s.write("orbitd.toml", server+small+open+users)
	must(t, s.start(nil))
	defer func() { must(t, s.Stop(t.Context())) }()
	before := s.Config()
	more := strings.ReplaceAll(open, "/open/", "/more/")
	for want, change := range map[string]func(){
		"unknown key": func() { s.write("orbitd.toml", server+small+more+"nonsense = 1\n") },
		"users:1: ":   func() { s.write("orbitd.toml", server+small+more+users); s.write("users", "alice:nonsense\n") },
		"read secret \"credential:x": func() {
			s.write("orbitd.toml", server+small+more+"[[auth]]\ntype = \"token\"\nkey = \"credential:x\"\n")
		},
	} {
		change()
		if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if s.Config() != before {
			t.Errorf("%s: another configuration is in force", want)
		}
		s.publish("/open/a", 200)
		s.publish("/more/a", 403)
	}
}

func TestReloadWarns(t *testing.T) {
	s := newSite(t, server+small+open)
	s.write("ca.pem", "")
	s.write("orbitd.toml", server+"stomp = \"127.0.0.1:0\"\n[tls]\nclient_ca = \"ca.pem\"\n"+small+"retain = {}\n[session]\nttl = \"1m\"\n[app.x.quota]\nconnections = 1\n"+open)
	must(t, s.Reload(t.Context()))
	must(t, s.Stop(t.Context()))
	log := s.log.String()
	for _, want := range []string{`section="[server]"`, `section="[session]"`, "tls.client_ca: it has no effect"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log", want)
		}
	}
	if strings.Contains(log, `section="[engine]"`) || strings.Contains(log, "origins: it has no effect") {
		t.Errorf("what is in force at once, or not set, is warned of:\n%s", log)
	}
}

func TestStopTwiceAndAtOnce(t *testing.T) {
	s := newSite(t, server+small+open)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := s.Reload(t.Context()); err == nil {
		t.Error("a daemon that has stopped reloads")
	}
	if _, err := net.Dial("tcp", s.address("http")); err == nil {
		t.Error("a daemon that has stopped accepts")
	}
}

// connect subscribes to a channel over a WebSocket and returns it once that is
// answered.
func connect(t *testing.T, s *site, channel string) net.Conn {
	t.Helper()
	c, reader, _, err := ws.Dial(t.Context(), "ws://"+s.address("http")+"/v1/ws")
	must(t, err)
	if reader != nil {
		t.Fatal("the server spoke first")
	}
	t.Cleanup(func() { c.Close() })
	must(t, wsutil.WriteClientText(c, fmt.Appendf(nil, `{"id":1,"op":"connect","last":{%q:0}}`, channel)))
	if answer, err := wsutil.ReadServerText(c); err != nil || !strings.Contains(string(answer), `"session"`) {
		t.Fatalf("%s, %v", answer, err)
	}
	return c
}

func TestDrain(t *testing.T) {
	s := newSite(t, server+small+open)
	c := connect(t, s, "/open/a")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	var heard string
	for !strings.Contains(heard, `{"bye":{"code":"restart","retry":`) {
		text, err := wsutil.ReadServerText(c)
		if err != nil {
			t.Fatalf("%v, after %s", err, heard)
		}
		heard += string(text)
	}
	c.Close()
	must(t, <-stopped)
}

// TestStopKeepsCursors: what was acknowledged right before a stop is not sent
// again behind it, and what was not is.
func TestStopKeepsCursors(t *testing.T) {
	s := &site{t: t, folder: t.TempDir()}
	s.write("orbitd.toml", server+small+users+open)
	_, err := fileauth.SetPassword(filepath.Join(s.folder, "users"), "alice", "secret", nil)
	must(t, err)
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	var offsets []uint64
	for range 3 {
		var stored struct{ Offset uint64 }
		must(t, json.Unmarshal([]byte(s.publish("/open/a", 200)), &stored))
		offsets = append(offsets, stored.Offset)
	}
	c := s.named(t)
	say(t, c, `{"id":2,"op":"subscribe","channel":"/open/a","after":0}`)
	hear(t, c, fmt.Sprintf(`"o":%d,`, offsets[2]))
	say(t, c, fmt.Sprintf(`{"op":"ack","last":{"/open/a":%d}}`, offsets[1]))
	say(t, c, `{"op":"ping"}`)
	hear(t, c, `{"op":"pong"}`)
	must(t, s.Stop(t.Context()))
	must(t, s.start(nil))
	heard := hear(t, s.named(t), fmt.Sprintf(`"o":%d,`, offsets[2]))
	if strings.Contains(heard, fmt.Sprintf(`"o":%d,`, offsets[1])) {
		t.Errorf("an acknowledged message was sent again: %s", heard)
	}
}

const users = `
[[auth]]
type = "file"
path = "users"
[[auth]]
type = "token"
`

// named connects alice's session of the name "desk".
func (s *site) named(t *testing.T) net.Conn {
	t.Helper()
	answer, body := s.do("POST", "http", "/v1/login", "", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("alice:secret")))
	var login struct{ Token string }
	if err := json.Unmarshal([]byte(body), &login); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("login: %d %s", answer.StatusCode, body)
	}
	c, _, _, err := ws.Dial(t.Context(), "ws://"+s.address("http")+"/v1/ws")
	must(t, err)
	t.Cleanup(func() { c.Close() })
	say(t, c, fmt.Sprintf(`{"id":1,"op":"connect","token":%q,"client":"desk","ack":"manual"}`, login.Token))
	return c
}

func say(t *testing.T, c net.Conn, line string) {
	t.Helper()
	must(t, wsutil.WriteClientText(c, []byte(line)))
}

// hear reads until there is what is wanted, and returns all of it.
func hear(t *testing.T, c net.Conn, want string) (heard string) {
	t.Helper()
	for !strings.Contains(heard, want) {
		text, err := wsutil.ReadServerText(c)
		if err != nil {
			t.Fatalf("%v, after %s; want %s", err, heard, want)
		}
		heard += string(text) + "\n"
	}
	return heard
}

// TestStopBesideRequestsThatNeverEnd: who sends half a request has no say in how
// the daemon ends.
func TestStopBesideRequestsThatNeverEnd(t *testing.T) {
	s := newSite(t, server+small+open)
	s.publish("/open/a", 200)
	for door, half := range map[string]string{
		"http": "POST /v1/publish/open/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf",
		"ops":  "GET /heal",
	} {
		c, err := net.Dial("tcp", s.address(door))
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte(half))
		must(t, err)
	}
	s.publish("/open/a", 200) // by now the other is read
	must(t, s.Stop(t.Context()))
	if !strings.Contains(s.log.String(), "requests that were not complete were cut off") {
		t.Errorf("the stop waited for nobody:\n%s", s.log.String())
	}
}

// TestDrainOfThoseWhoDoNotRead: they are cut off, and the stop is clean.
func TestDrainOfThoseWhoDoNotRead(t *testing.T) {
	s := newSite(t, server+"[engine]\ntype = \"memory\"\n[session]\nmax_message = \"1MiB\"\nwindow_bytes = \"64MiB\"\n"+open)
	c := connect(t, s, "/open/a")
	must(t, c.(*net.TCPConn).SetReadBuffer(4096))
	for range 16 {
		if answer, body := s.do("POST", "http", "/v1/publish/open/a", strings.Repeat("x", 1<<20), "Content-Type", "text/plain"); answer.StatusCode != 200 {
			t.Fatalf("publish: %d %s", answer.StatusCode, body)
		}
	}
	must(t, s.Stop(t.Context()))
	if s.Clients() != 0 {
		t.Errorf("%d clients are left", s.Clients())
	}
}

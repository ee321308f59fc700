package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// kept is a connection to the public door, on which requests follow each other.
type kept struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (s *site) keep(t *testing.T) *kept {
	t.Helper()
	c, err := net.Dial("tcp", s.address("http"))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return &kept{t, c, bufio.NewReader(c)}
}

// Read reads behind what was read ahead.
func (k *kept) Read(b []byte) (int, error) { return k.in.Read(b) }

func (k *kept) get(path string) {
	k.t.Helper()
	_, err := fmt.Fprintf(k, "GET %s HTTP/1.1\r\nHost: here\r\n\r\n", path)
	must(k.t, err)
	k.answered(http.StatusOK)
}

func (k *kept) answered(status int) {
	k.t.Helper()
	answer, err := http.ReadResponse(k.in, nil)
	must(k.t, err)
	_, err = io.Copy(io.Discard, answer.Body)
	must(k.t, err)
	if answer.StatusCode != status {
		k.t.Fatalf("status %d, want %d", answer.StatusCode, status)
	}
}

// want reads objects until one has text in it.
func (k *kept) want(text string) {
	k.t.Helper()
	for {
		got, err := wsutil.ReadServerText(k)
		must(k.t, err)
		if strings.Contains(string(got), text) {
			return
		}
	}
}

// A WebSocket may begin on a connection that has carried other requests.
func TestUpgradeBehindRequests(t *testing.T) {
	s := newSite(t, server+small+open)
	k := s.keep(t)
	k.get("/orbit.js")
	k.get("/v1/history/open/a")
	dialer := ws.Dialer{
		Protocols: []string{"orbit.v1"},
		NetDial:   func(context.Context, string, string) (net.Conn, error) { return k, nil },
	}
	_, ahead, shaken, err := dialer.Dial(t.Context(), "ws://"+s.address("http")+"/v1/ws")
	must(t, err)
	if ahead != nil || shaken.Protocol != "orbit.v1" {
		t.Fatalf("%v, and something was sent ahead: %v", shaken, ahead != nil)
	}
	must(t, wsutil.WriteClientText(k, []byte(`{"id":1,"op":"connect"}`)))
	k.want(`"re":1,"session":`)
	must(t, wsutil.WriteClientText(k, []byte(`{"id":2,"op":"subscribe","channel":"/open/a"}`)))
	k.want(`"re":2,"offset":`)
	s.publish("/open/a", 200)
	k.want(`"ch":"/open/a"`)
	if n := s.Clients(); n != 1 {
		t.Errorf("%d clients", n)
	}
}

// All of it may be sent at once, with frames behind the handshake.
func TestUpgradeInOneWrite(t *testing.T) {
	s := newSite(t, server+small+open)
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"id":1,"op":"connect","last":{"/open/a":0}}`))))
	for _, before := range []string{"", "GET /orbit.js HTTP/1.1\r\nHost: here\r\n\r\n"} {
		k := s.keep(t)
		_, err := fmt.Fprintf(k, "%sGET /v1/ws HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n%s", before, frame)
		must(t, err)
		if before != "" {
			k.answered(http.StatusOK)
		}
		k.answered(http.StatusSwitchingProtocols)
		k.want(`"session":`)
		s.publish("/open/a", 200)
		k.want(`"ch":"/open/a"`)
	}
}

// TestSmuggling: what follows a request that can be read in two ways is no
// request, on the daemon's own door.
func TestSmuggling(t *testing.T) {
	s := newSite(t, server+small+open)
	k := s.keep(t)
	_, err := io.WriteString(k, "GET /orbit.js HTTP/1.1\r\nHost: here\r\n\r\n"+
		"POST /v1/publish/open/a HTTP/1.1\r\nHost: here\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n1"+
		"GET /v1/history/open/a HTTP/1.1\r\nHost: here\r\n\r\n")
	must(t, err)
	k.answered(http.StatusOK)
	k.answered(http.StatusBadRequest)
	if rest, err := io.ReadAll(k); err != nil || len(rest) > 0 {
		t.Errorf("%q and %v behind the refusal", rest, err)
	}
}

// TestStopAcceptsNothing: who comes while clients are told to go is left in the
// socket, for the next daemon.
func TestStopAcceptsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	passed, err := l.(*net.TCPListener).File()
	must(t, err)
	defer l.Close()
	handed, err := net.FileListener(passed)
	must(t, err)
	must(t, passed.Close())
	s := &site{t: t, folder: t.TempDir()}
	s.write("orbitd.toml", server+small+open)
	must(t, s.start(map[string][]net.Listener{"http": {handed}}))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	c := connect(t, s, "/open/a")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	for {
		text, err := wsutil.ReadServerText(c)
		must(t, err)
		if strings.Contains(string(text), `{"bye":`) {
			break
		}
	}
	late := s.keep(t)
	_, err = io.WriteString(late, "GET /orbit.js HTTP/1.1\r\nHost: here\r\n\r\n")
	must(t, err)
	c.Close()
	must(t, <-stopped)
	must(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)))
	next, err := l.Accept()
	must(t, err)
	defer next.Close()
	request, err := http.ReadRequest(bufio.NewReader(next))
	if err != nil || request.URL.Path != "/orbit.js" {
		t.Errorf("the next daemon reads %v, %v", request, err)
	}
	must(t, late.SetReadDeadline(time.Now()))
	if n, err := late.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		t.Errorf("%d bytes and %v from a daemon that stops", n, err)
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// A name that is not the server's own is answered nothing, behind every door.
func TestForeignName(t *testing.T) {
	named := strings.Replace(server, "origins", "hosts   = [\"push.example.org\"]\norigins", 1)
	s := newSite(t, named+small+open)
	call := func(host, path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address("http")+path, nil)
		must(t, err)
		req.Host = host
		answer, err := http.DefaultClient.Do(req)
		must(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		return answer.StatusCode, string(text)
	}
	for path, want := range map[string]int{"/": 200, "/orbit.js": 200, "/v1/history/open/a": 200, "/v1/ws": 426} {
		if got, text := call("push.example.org:8080", path); got != want {
			t.Errorf("%s: %d %s", path, got, text)
		}
		if got, text := call("evil.test", path); got != 421 || !strings.Contains(text, `"this server is not called by that name`) {
			t.Errorf("%s by a foreign name: %d %s", path, got, text)
		}
	}
	s.write("orbitd.toml", server+small+open)
	must(t, s.Reload(t.Context()))
	if got, text := call("evil.test", "/"); got != 200 {
		t.Errorf("after a reload: %d %s", got, text)
	}
}

// No proxy keeps an answer for somebody else, or holds one back, whatever it says.
func TestAnswersAreForNobodyElse(t *testing.T) {
	s := newSite(t, strings.Replace(server, "origins", `hosts = ["push.example.org"]`+"\norigins", 1)+small+open)
	s.publish("/open/a", 200)
	for _, c := range []struct {
		method, path, body string
		header             []string
		status             int
	}{
		{"POST", "/v1/publish/open/a", "1", nil, 200},
		{"POST", "/v1/publish/closed/a", "1", nil, 403},
		{"POST", "/v1/publish/open/a", "1", []string{"Origin", "https://evil.example"}, 403},
		{"GET", "/v1/history/open/a", "", nil, 200},
		{"OPTIONS", "/v1/history/open/a", "", []string{"Origin", "https://good.example"}, 204},
		{"GET", "/v1/nothing", "", nil, 404},
		{"DELETE", "/v1/login", "", nil, 405},
		{"POST", "/v1/login", "", nil, 401},
		{"POST", "/v1/poll?wait=0", `{"id":1,"op":"connect","last":{"/open/a":0}}`, nil, 200},
		{"POST", "/v1/poll", "", nil, 400},
		{"GET", "/v1/poll", "", nil, 405},
		{"POST", "/v1/stream", `{"op":"ping"}`, nil, 200},
		{"POST", "/v1/sse", `{"op":"ping"}`, nil, 200},
		{"GET", "/v1/sse?channel=/closed/a", "", nil, 403},
		{"POST", "/v1/send", "", []string{"Orbit-Session", "x", "Orbit-Secret", "y"}, 400},
	} {
		answer, _ := s.do(c.method, "http", c.path, c.body, c.header...)
		if answer.StatusCode != c.status || answer.Header.Get("Cache-Control") != "no-store, no-transform" || answer.Header.Get("X-Accel-Buffering") != "no" {
			t.Errorf("%s %s: %d %v", c.method, c.path, answer.StatusCode, answer.Header)
		}
	}
	// These are said before it is known who serves them, and have no body worth holding back.
	upgrade := []string{"Upgrade", "websocket", "Connection", "Upgrade"}
	for _, c := range []struct {
		path   string
		header []string
		status int
	}{
		{"/v1/ws", nil, 426},
		{"/v1/ws", upgrade, 400},
		{"/v1/ws", append(upgrade, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version", "13", "Origin", "https://evil.example"), 403},
	} {
		if answer, _ := s.do("GET", "http", c.path, "", c.header...); answer.StatusCode != c.status || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %v: %d %v", c.path, c.header, answer.StatusCode, answer.Header)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.address("http")+"/v1/history/open/a", nil)
	must(t, err)
	r.Host = "evil.example"
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusMisdirectedRequest || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("by another name: %d %v", answer.StatusCode, answer.Header)
	}
}

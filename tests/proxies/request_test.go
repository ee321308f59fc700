package proxies

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/orbitd/orbitd/tests/scene"
)

// here is where the tests' clients call from: not the proxies' own address, which
// orbitd trusts.
var here = net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}

// open starts everything, and ends it with the test.
func open(t *testing.T) *street {
	t.Helper()
	s := newStreet(t, scene.NewDaemon(t, trusted))
	s.start(t.Context())
	return s
}

// ask makes a request by a door, with headers in pairs.
func ask(t *testing.T, by scene.Door, method, path, body string, header ...string) (status int, h http.Header, text string) {
	t.Helper()
	transport := &http.Transport{DialContext: here.DialContext, TLSClientConfig: by.Trusts, ForceAttemptHTTP2: by.Second}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, by.URL+path, strings.NewReader(body))
	must(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := transport.RoundTrip(r)
	must(t, err)
	defer a.Body.Close()
	if by.Second != (a.ProtoMajor == 2) {
		t.Errorf("%s: the answer came by %s", by.URL, a.Proto)
	}
	b, err := io.ReadAll(a.Body)
	must(t, err)
	return a.StatusCode, a.Header, string(b)
}

// shake begins a WebSocket by a door, with headers in pairs. status is that of the
// answer.
func shake(t *testing.T, by scene.Door, header ...string) (c *websocket.Conn, status int) {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DialContext: here.DialContext, TLSClientConfig: by.Trusts, DisableKeepAlives: true}
	c, a, err := websocket.Dial(t.Context(), by.URL+"/v1/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: h})
	if a == nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, a.StatusCode
}

// Where upgrades do not get through, a client is told so by an answer, at once.
func TestUpgradeRefused(t *testing.T) {
	for _, x := range open(t).sites {
		want := http.StatusUpgradeRequired // orbitd's, who has seen none
		switch {
		case x.upgrades:
			want = http.StatusSwitchingProtocols
		case strings.Contains(x.name, "refuses"):
			want = http.StatusForbidden
		}
		if _, status := shake(t, x.door()); status != want {
			t.Errorf("%s: %d, want %d", x, status, want)
		}
	}
}

// known are the sites whose proxy tells orbitd who calls: those of etc/proxies.
func (s *street) known() (all []*site) {
	for _, x := range s.sites {
		if strings.Contains(x.name, "etc/proxies") {
			all = append(all, x)
		}
	}
	return all
}

// Who cannot log in is logged with the address that the proxy has seen, whatever
// the client says of itself.
func TestAddressBehindProxies(t *testing.T) {
	s := open(t)
	forged := []string{"X-Forwarded-For", "198.51.100.1", "Forwarded", "for=198.51.100.2, for=198.51.100.3", "X-Forwarded-Proto", "http"}
	attempts := 0
	for _, x := range s.known() {
		for _, by := range x.doors() {
			status, _, text := ask(t, by, "POST", "/v1/publish/kill/a", "1", append(forged, "Authorization", "Bearer nonsense")...)
			if status != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", x, status, text)
			}
			ask(t, by, "POST", "/v1/poll?wait=0", `{"id":1,"op":"connect","token":"nonsense"}`, forged...)
			attempts += 2
		}
		c, _ := shake(t, x.door(), forged...)
		must(t, c.Write(t.Context(), websocket.MessageText, []byte(`{"id":1,"op":"connect","token":"nonsense"}`)))
		if _, text, err := c.Read(t.Context()); err != nil || !bytes.Contains(text, []byte("unauthorized")) {
			t.Errorf("%s: %s, %v", x, text, err)
		}
		attempts++
	}
	s.daemon.Stop()
	log := read(t, s.daemon.File("log"))
	if n := strings.Count(log, "client=127.0.0.2"); n != attempts || strings.Contains(log, "198.51.100") {
		t.Errorf("%d of %d attempts are of the client's address in\n%s", n, attempts, log)
	}
}

// The server's own pages may call behind a proxy that takes off TLS, and those that
// came without TLS may not; the cookie that a login gives is for TLS alone.
func TestOwnPageBehindProxies(t *testing.T) {
	s := open(t)
	for _, x := range s.known() {
		for scheme, want := range map[string]int{"https": http.StatusOK, "http": http.StatusForbidden} {
			page := scheme + "://" + x.address
			for _, by := range x.doors() {
				if status, _, text := ask(t, by, "POST", "/v1/publish/kill/a", "1", "Origin", page); status != want {
					t.Errorf("%s, %s: %d %s", x, page, status, text)
				}
			}
			if _, status := shake(t, x.door(), "Origin", page); (status == http.StatusSwitchingProtocols) != (want == http.StatusOK) {
				t.Errorf("a WebSocket, %s, %s: %d", x, page, status)
			}
		}
		login := "user=" + scene.User + "&password=" + strings.ReplaceAll(scene.Password, " ", "+")
		status, h, text := ask(t, x.door(), "POST", "/v1/login", login, "Origin", "https://"+x.address, "Content-Type", "application/x-www-form-urlencoded")
		if cookie := h.Get("Set-Cookie"); status != http.StatusOK || !strings.Contains(cookie, "; Secure") {
			t.Errorf("%s: %d %s, cookie %q", x, status, text, cookie)
		}
	}
}

// As much as orbitd takes at once passes through the recipes.
func TestLargestBatchBehindProxies(t *testing.T) {
	s := open(t)
	line := fmt.Sprintf(`{"channel":"/kill/a","data":%q}`+"\n", strings.Repeat("x", 60<<10))
	batch := strings.Repeat(line, (16<<20)/len(line))
	for _, x := range s.known() {
		for _, by := range x.doors() {
			status, _, text := ask(t, by, "POST", "/v1/publish", batch)
			if status != http.StatusOK || strings.Count(text, `"offset"`) != strings.Count(batch, "\n") {
				t.Errorf("%s: %d %.200s", x, status, text)
			}
		}
	}
}

// A proxy that buffers holds a stream's answer back until it is complete. It is whole
// then; but polls have brought everything long before.
func TestHeldBack(t *testing.T) {
	s := open(t)
	var by scene.Door
	for _, x := range s.sites {
		if x.buffers {
			by = x.door()
		}
	}
	const connect = `{"id":1,"op":"connect","last":{"/kill/a":0}}`
	var streams sync.WaitGroup
	var stopped atomic.Bool
	for _, path := range []string{"/v1/stream", "/v1/sse"} {
		streams.Go(func() {
			status, _, text := ask(t, by, "POST", path, connect+"\n"+`{"id":2,"op":"publish","channel":"/kill/b","data":"served"}`)
			if status != http.StatusOK || !strings.Contains(text, `"d":"held"`) || !strings.Contains(text, `"bye"`) || !stopped.Load() {
				t.Errorf("%s: %d %s, before the end: %v", path, status, text, !stopped.Load())
			}
		})
	}
	ask(t, by, "POST", "/v1/publish/kill/a", `"held"`)
	if _, _, text := ask(t, by, "POST", "/v1/poll", connect); !strings.Contains(text, `"d":"held"`) {
		t.Errorf("polled: %s", text)
	}
	direct := scene.Door{URL: s.daemon.URL()}
	for served := 0; served < 2; {
		_, _, text := ask(t, direct, "GET", "/v1/history/kill/b", "")
		served = strings.Count(text, `"served"`)
	}
	stopped.Store(true)
	s.daemon.Stop()
	streams.Wait()
}

var idle = flag.Bool("idle", false, "let streams be silent for longer than any proxy waits by default")

// A stream on which nothing is published outlives all timeouts that proxies have by
// default (nginx 60 s, haproxy 50 s): the server's pings are more often.
func TestSilenceBehindProxies(t *testing.T) {
	if !*idle {
		t.Skip("it takes two minutes: -args -idle")
	}
	s := open(t)
	streams := map[string]io.Reader{}
	for _, x := range s.sites {
		if x.buffers {
			continue
		}
		for _, by := range x.doors() {
			transport := &http.Transport{TLSClientConfig: by.Trusts, ForceAttemptHTTP2: by.Second}
			defer transport.CloseIdleConnections()
			r, err := http.NewRequestWithContext(t.Context(), "GET", by.URL+"/v1/sse?channel=/kill/a", nil)
			must(t, err)
			a, err := transport.RoundTrip(r)
			must(t, err)
			defer a.Body.Close()
			streams[x.name+" by "+a.Proto] = a.Body
		}
		if x.upgrades {
			c, _ := shake(t, x.door())
			must(t, c.Write(t.Context(), websocket.MessageText, []byte(`{"id":1,"op":"connect","last":{"/kill/a":0}}`)))
			streams[x.name+" by WebSocket"] = ponging(t, c)
		}
	}
	time.Sleep(2 * time.Minute)
	ask(t, scene.Door{URL: s.daemon.URL()}, "POST", "/v1/publish/kill/a", `"after the silence"`)
	for name, in := range streams {
		seen := ""
		for b := make([]byte, 4096); !strings.Contains(seen, "after the silence"); {
			n, err := in.Read(b)
			if seen += string(b[:n]); err != nil {
				t.Errorf("%s: %v behind %q", name, err, seen)
				break
			}
		}
	}
}

// ponging answers the server's pings, and gives the first other push behind them.
func ponging(t *testing.T, c *websocket.Conn) io.Reader {
	in, out := io.Pipe()
	go func() {
		for pinged := false; ; {
			_, text, err := c.Read(t.Context())
			switch ping := bytes.Contains(text, []byte(`"op":"ping"`)); {
			case err != nil:
				out.CloseWithError(err)
				return
			case ping:
				pinged = true
				_ = c.Write(t.Context(), websocket.MessageText, []byte(`{"op":"pong"}`)) // else Read fails
			case pinged:
				_, _ = out.Write(text) // the test has ended where nobody reads
				return
			}
		}
	}()
	t.Cleanup(func() { in.Close() })
	return in
}

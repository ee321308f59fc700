package transport

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/origin"
)

const plain = "GET " + Path + " HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// with returns the handshake with one more header, or one replaced.
func with(old, lines string) string {
	if old == "" {
		return strings.Replace(plain, "\r\n\r\n", "\r\n"+lines+"\r\n\r\n", 1)
	}
	return strings.Replace(plain, old, lines, 1)
}

// doors returns the addresses of the two ways to the server: the loops, and
// net/http.
func (r *rig) doors() map[string]string {
	front := httptest.NewServer(r.server)
	r.t.Cleanup(front.Close)
	return map[string]string{
		"loop":     strings.TrimSuffix(strings.TrimPrefix(r.url, "ws://"), Path),
		"net/http": front.Listener.Addr().String(),
	}
}

// raw sends text on a connection of its own and returns it with the answer's
// head, read.
func raw(t *testing.T, address, text string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, text)
	must(t, err)
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	must(t, err)
	return conn, in, answer
}

// A handshake is answered alike on a loop and behind net/http. One that is
// declined is told why, whole, also where frames were sent already, and is its
// connection's end.
func TestDeclined(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.gate.Set(origin.Rules{Hosts: []string{"here"}})
	frames := string(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(make([]byte, 1000)))))
	for door, address := range r.doors() {
		for name, c := range map[string]struct {
			request string
			status  int
			text    string
		}{
			"foreign origin":     {with("", "Origin: https://evil.example"), 403, "server.origins"},
			"foreign name":       {with("Host: here", "Host: evil.example"), 421, "server.hosts"},
			"another protocol":   {with("", "Sec-WebSocket-Protocol: mqtt, v12.stomp"), 400, Subprotocol},
			"malformed protocol": {with("", "Sec-WebSocket-Protocol: (("), 400, "malformed"},
			"another version":    {with("Version: 13", "Version: 8"), 426, "Version"},
			"no version":         {with("Sec-WebSocket-Version: 13\r\n", ""), 400, "Version"},
			"short key":          {with("ZQ==", ""), 400, "Key"},
			"no key":             {with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, "Key"},
		} {
			_, in, answer := raw(t, address, c.request+frames)
			text, err := io.ReadAll(answer.Body)
			must(t, err)
			if answer.StatusCode != c.status || !strings.Contains(string(text), c.text) || !answer.Close {
				t.Errorf("%s, %s: %d %q, close %v", door, name, answer.StatusCode, text, answer.Close)
			}
			if c.status == http.StatusUpgradeRequired && (answer.Header.Get("Upgrade") != "websocket" || answer.Header.Get("Sec-WebSocket-Version") != "13") {
				t.Errorf("%s, %s: %v", door, name, answer.Header)
			}
			if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
				t.Errorf("%s, %s: %q and %v behind the answer", door, name, rest, err)
			}
		}
	}
	if n := r.server.Len(); n != 0 {
		t.Errorf("%d connections are counted", n)
	}
}

// A handshake is understood however it is written, and what follows it at once
// is read by the WebSocket.
func TestHandshakes(t *testing.T) {
	r := newRig(t, rigOptions{})
	doors := r.doors()
	connect := string(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"id":1,"op":"connect"}`)))))
	for name, c := range map[string]struct {
		door, request string
	}{
		"on a loop":             {"loop", plain},
		"plain":                 {"net/http", plain},
		"behind another":        {"net/http", "GET " + Path + " HTTP/1.1\r\nHost: here\r\n\r\n" + plain},
		"own origin":            {"net/http", with("", "Origin: http://here")},
		"subprotocol":           {"net/http", with("", "Sec-WebSocket-Protocol: v12.stomp, orbit.v1")},
		"list":                  {"net/http", with("Upgrade: websocket", "Upgrade: foo/1, WebSocket")},
		"lines":                 {"net/http", with("", "Upgrade: foo\r\nConnection: keep-alive")},
		"mixed case":            {"net/http", strings.NewReplacer("Upgrade: websocket", "uPGRADE: WEBSOCKET", "Sec-WebSocket", "sec-websocket").Replace(plain)},
		"absolute target":       {"net/http", with("GET /", "GET http://here/")},
		"query":                 {"net/http", with(Path, Path+"?x=y")},
		"mixed case, on a loop": {"loop", strings.NewReplacer("Upgrade: websocket", "uPGRADE: WEBSOCKET", "Sec-WebSocket", "sec-websocket").Replace(plain)},
	} {
		t.Run(name, func(t *testing.T) {
			conn, in, answer := raw(t, doors[c.door], c.request+connect)
			if name == "behind another" {
				if answer.StatusCode != http.StatusUpgradeRequired || answer.Close {
					t.Fatalf("without Upgrade: %d, close %v", answer.StatusCode, answer.Close)
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				var err error
				answer, err = http.ReadResponse(in, nil)
				must(t, err)
			}
			// The value is that of RFC 6455, section 1.3.
			if answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Fatalf("%d %v", answer.StatusCode, answer.Header)
			}
			if got, want := answer.Header.Get("Sec-WebSocket-Protocol"), name == "subprotocol"; (got == Subprotocol) != want {
				t.Errorf("subprotocol %q", got)
			}
			p := &peer{t: t, conn: conn, in: in}
			if o := p.next(); o["re"] != 1.0 || o["session"] == nil {
				t.Fatalf("not connected: %v", o)
			}
			p.send(`{"op":"ping"}`)
			p.want(`{"op":"pong"}`)
		})
	}
}

// What cannot become a WebSocket is answered by net/http, whose connection goes
// on where the request has none to begin.
func TestNoHandshake(t *testing.T) {
	r := newRig(t, rigOptions{})
	address := r.doors()["net/http"]
	for name, c := range map[string]struct {
		request string
		status  int
		header  string
	}{
		"no Upgrade":      {"GET " + Path + " HTTP/1.1\r\nHost: here\r\n\r\n", 426, "Upgrade"},
		"another Upgrade": {with("websocket", "h2c"), 426, "Upgrade"},
		"not named":       {with("Connection: Upgrade", "Connection: keep-alive"), 426, "Upgrade"},
		"HTTP/1.0":        {with("HTTP/1.1", "HTTP/1.0"), 426, "Upgrade"},
		"POST":            {with("GET", "POST"), 405, "Allow"},
		"body":            {with("", "Content-Length: 1") + "x", 400, ""},
	} {
		_, _, answer := raw(t, address, c.request)
		if answer.StatusCode != c.status || c.header != "" && answer.Header.Get(c.header) == "" {
			t.Errorf("%s: %d %v", name, answer.StatusCode, answer.Header)
		}
	}
}

// A client that goes while its connection is taken from net/http to a loop is
// not counted for ever.
func TestGoneWhileArriving(t *testing.T) {
	r := newRig(t, rigOptions{})
	address := r.doors()["net/http"]
	for range 50 {
		conn, err := net.Dial("tcp", address)
		must(t, err)
		_, err = io.WriteString(conn, plain)
		must(t, err)
		conn.Close()
	}
	p := r.dial()
	p.connect("")
	deadline := time.Now().Add(patience)
	for r.server.Len() != 1 {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are counted, and there is one", r.server.Len())
		}
		time.Sleep(time.Millisecond)
	}
}

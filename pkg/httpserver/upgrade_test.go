package httpserver_test

import (
	"strings"
	"testing"
)

// tricky is what a WebSocket may send that no request may hold.
var tricky = "\x81\x85\x00\n\n\r\n\n" + strings.Repeat("\x00 \r\n\r\nGET / HTTP/1.1\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n", 100)

// What follows a handshake reaches who upgrades, whether it came on the loop or
// by way of net/http, and also what was sent before the answer.
func TestBytesBehindAnUpgrade(t *testing.T) {
	r := newRig(t)
	for name, request := range map[string]string{
		"on the loop":         handshake,
		"with a query":        strings.Replace(handshake, "/up", "/up?a=b", 1),
		"mixed case":          "GET /up HTTP/1.1\r\nhOST: x\r\ncoNNection: keep-alive, UPGRADE\r\nupGRADE: WebSocket\r\n\r\n",
		"a list":              strings.Replace(handshake, "websocket", "websocket, foo", 1),
		"two lines":           strings.Replace(handshake, "\r\n\r\n", "\r\nUpgrade: foo\r\n\r\n", 1),
		"absolute form":       strings.Replace(handshake, "/up", "http://x/up", 1),
		"behind a request":    get("/hello") + handshake,
		"behind two":          get("/hello") + post("/echo", "hello") + handshake,
		"behind an empty one": "\r\n" + handshake,
	} {
		for way, send := range map[string]func(*peer, string){"at once": (*peer).sendAll, "byte by byte": (*peer).drip} {
			t.Run(name+", "+way, func(t *testing.T) {
				p := r.dial()
				p.t = t
				sent := make(chan struct{})
				go func() { // the other side sends while it receives
					defer close(sent)
					send(p, request+tricky)
				}()
				for range strings.Count(request, "hello") {
					p.want(200, "hello")
				}
				p.wantText(switched + tricky)
				<-sent
				p.send("and on")
				p.wantText("and on")
			})
		}
	}
}

// What is no plain handshake on the path is for net/http.
func TestNoUpgrade(t *testing.T) {
	r := newRig(t)
	for name, request := range map[string]string{
		"another path":   strings.Replace(handshake, "/up", "/hello", 1),
		"another method": strings.Replace(handshake, "GET /up", "POST /hello", 1),
		"HTTP/1.0":       strings.NewReplacer("HTTP/1.1", "HTTP/1.0", "/up", "/hello").Replace(handshake),
	} {
		p := r.dial()
		p.send(request)
		p.want(200, "hello")
		p.wantEnd()
		if r.served() == "" {
			t.Errorf("%s: net/http was not asked", name)
		}
	}
}

// A handshake that is declined is the connection's end, and the answer arrives
// whole, also where frames were sent already.
func TestDeclined(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.send(strings.Replace(handshake, "\r\n\r\n", "\r\nNo: thanks\r\n\r\n", 1) + tricky)
	p.want(403, "no\n")
	p.wantEnd()
}

// A handshake on the loop is read as strictly as what net/http is given.
func TestDoubtfulHandshakes(t *testing.T) {
	r := newRig(t)
	for _, lines := range []string{"Host: y", "A: \x00", "A: b\rC: d", "A: b\nC: d", " b", "A : b", "Content-Length: 0\r\nContent-Length: 0"} {
		p := r.dial()
		p.send(strings.Replace(handshake, "\r\n\r\n", "\r\n"+lines+"\r\n\r\n", 1))
		p.want(400, "")
		p.wantEnd()
	}
}

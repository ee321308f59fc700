package loads

import (
	"bytes"
	"compress/flate"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/tests/scene"
)

const (
	upgrade = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	connect   = `{"id":1,"op":"connect"}` + "\n"
	subscribe = `{"id":2,"op":"subscribe","channel":"` + channel + `"}` + "\n"
)

// post returns a request whose head promises length bytes.
func post(path string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, length)
}

// frame returns a client's frame, masked with zeroes.
func frame(first byte, payload string) string {
	head := []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	return string(head) + payload
}

// TestCrowds has each crowd come by itself.
func TestCrowds(t *testing.T) {
	d := scene.NewDaemon(t, "")
	for _, test := range []struct {
		name string
		play func(*rig)
	}{
		{"readers that do not read", deafReaders},
		{"heads byte by byte", slowHeads},
		{"bodies byte by byte", slowBodies},
		{"handshakes of TLS byte by byte", slowHandshakes},
		{"connections that say nothing", silent},
		{"requests, and then nothing", idlers},
		{"polls, all at once", polls},
		{"bombs", bombs},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, d)
			test.play(r)
			r.verdict()
		})
	}
}

// deafReaders subscribe, and take nothing of what is published.
func deafReaders(r *rig) {
	for _, says := range []string{
		upgrade + "\r\n" + frame(0x81, connect+subscribe),
		post("/v1/stream", len(connect+subscribe)) + connect + subscribe,
		post("/v1/sse", len(connect+subscribe)) + connect + subscribe,
		"GET /v1/sse?channel=" + channel + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		(&crowd{rig: r, says: says, deaf: true}).come(r.size(300), r.Address, false)
		(&crowd{rig: r, says: says, deaf: true}).come(r.size(100), r.Secure, true)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		r.publish(16 << 10)
		r.step(2 * time.Millisecond)
	}
}

// slowHeads never come to the end of their request's head.
func slowHeads(r *rig) {
	plain := &crowd{rig: r, says: "GET /v1/history/kill/loads HTTP/1.1\r\nHost: localhost\r\n", drips: strings.Repeat("x-slow: 1\r\n", 100)}
	plain.come(r.size(4000), r.Address, false)
	secure := &crowd{rig: r, says: plain.says, drips: plain.drips}
	secure.come(r.size(500), r.Secure, true)
	for range 5 {
		plain.drip()
		secure.drip()
		r.pass(200 * time.Millisecond)
	}
}

// slowBodies never come to the end of their request's body.
func slowBodies(r *rig) {
	var all []*crowd
	for _, head := range []string{
		post("/v1/publish/kill/loads", 1000), post("/v1/publish", 1<<20), post("/v1/stream", 1000), post("/v1/poll", 60_000), post("/v1/send", 1000),
		"POST /v1/publish/kill/loads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /v1/publish/kill/loads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
	} {
		c := &crowd{rig: r, says: head, drips: strings.Repeat(" ", 500)}
		if strings.Contains(head, "chunked") {
			c.drips = strings.Repeat("1\r\n \r\n", 100)
		}
		c.come(r.size(1000), r.Address, false)
		s := &crowd{rig: r, says: head, drips: c.drips}
		s.come(r.size(100), r.Secure, true)
		all = append(all, c, s)
	}
	for range 5 {
		for _, c := range all {
			c.drip()
		}
		r.pass(300 * time.Millisecond)
	}
}

// hello returns a client's first message of TLS.
func hello(r *rig) string {
	client, server := net.Pipe()
	defer server.Close()
	defer client.Close()
	go func() { _ = tls.Client(client, r.Trusts.Clone()).Handshake() }()
	b := make([]byte, 16<<10)
	return string(b[:must(server.Read(b))(r.T)])
}

// slowHandshakes stop within their first message, or behind it.
func slowHandshakes(r *rig) {
	first := hello(r)
	half := &crowd{rig: r, says: first[:len(first)/2], drips: first[len(first)/2 : len(first)-1]}
	half.come(r.size(3000), r.Secure, false)
	(&crowd{rig: r, says: first}).come(r.size(3000), r.Secure, false)
	for range 5 {
		half.drip()
		r.pass(200 * time.Millisecond)
	}
}

// silent peers have connected, by TCP, TLS or WebSocket, and do no more.
func silent(r *rig) {
	(&crowd{rig: r}).come(r.size(3000), r.Address, false)
	(&crowd{rig: r}).come(r.size(1500), r.Secure, false)
	(&crowd{rig: r}).come(r.size(500), r.Secure, true)
	(&crowd{rig: r, says: upgrade + "\r\n"}).come(r.size(3000), r.Address, false)
	r.pass(time.Second)
}

// idlers ask for something, and keep the connection.
func idlers(r *rig) {
	(&crowd{rig: r, says: "GET /v1/history/kill/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"}).come(r.size(5000), r.Address, false)
	(&crowd{rig: r, says: "GET /v1/history/kill/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"}).come(r.size(500), r.Secure, true)
	r.pass(time.Second)
}

// polls are ten thousand that come at once, are held, and answered at once.
func polls(r *rig) {
	body := connect + `{"id":2,"op":"subscribe","channel":"/kill/polls"}` + "\n"
	answered := 0
	c := &crowd{rig: r}
	c.hears = func(p *peer, b []byte) {
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
			r.Errorf("a poll was answered: %.200q", b)
		}
		answered++
		p.conn.Write([]byte(post("/v1/poll", 24) + `{"id":1,"op":"connect"}` + "\n"))
	}
	n := r.size(10_000)
	c.come(n, r.Address, false)
	request := []byte(post("/v1/poll?wait=2", len(body)) + body)
	for _, p := range c.peers {
		p.conn.Write(request)
	}
	for end := time.Now().Add(time.Minute); answered < n && time.Now().Before(end); {
		r.publish(128)
		r.step(time.Millisecond)
	}
	if answered < n || c.ended > 0 {
		r.Errorf("%d polls were answered, %d connections ended", answered, c.ended)
	}
}

// bombs are small, and large once they are inflated.
func bombs(r *rig) {
	var small bytes.Buffer
	w := must(flate.NewWriter(&small, flate.BestCompression))(r.T)
	for range 64 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			r.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		r.Fatal(err)
	}
	bomb := frame(0xc1, small.String()[:60_000])
	says := upgrade + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
	before := &crowd{rig: r, says: says + bomb}
	before.come(r.size(1000), r.Address, false)
	behind := &crowd{rig: r, says: says + frame(0x81, connect) + bomb}
	behind.come(r.size(1000), r.Address, false)
	secure := &crowd{rig: r, says: says + frame(0x81, connect) + bomb}
	secure.come(r.size(300), r.Secure, true)
	for _, c := range []*crowd{before, behind, secure} {
		for end := time.Now().Add(20 * time.Second); c.ended < len(c.peers) && time.Now().Before(end); {
			r.pass(10 * time.Millisecond)
		}
		if c.ended < len(c.peers) {
			r.Errorf("%d of %d bombs were not refused", len(c.peers)-c.ended, len(c.peers))
		}
	}
}

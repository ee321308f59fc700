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

	"github.com/orbitd/orbitd/tests/bench/load"
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
		{"frames of STOMP, all at once", frames},
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
		r.plainly(300, load.Crowd{Says: says, Deaf: true})
		r.secretly(100, load.Crowd{Says: says, Deaf: true})
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		r.publish(16 << 10)
		r.step(2 * time.Millisecond)
	}
}

// slowHeads never come to the end of their request's head.
func slowHeads(r *rig) {
	slow := load.Crowd{Says: "GET /v1/history/kill/loads HTTP/1.1\r\nHost: localhost\r\n", Drips: strings.Repeat("x-slow: 1\r\n", 100)}
	plain, secure := r.plainly(4000, slow), r.secretly(500, slow)
	for range 5 {
		plain.Drip()
		secure.Drip()
		r.pass(200 * time.Millisecond)
	}
}

// slowBodies never come to the end of their request's body.
func slowBodies(r *rig) {
	var all []*load.Crowd
	for _, head := range []string{
		post("/v1/publish/kill/loads", 1000), post("/v1/publish", 1<<20), post("/v1/stream", 1000), post("/v1/poll", 60_000), post("/v1/send", 1000),
		"POST /v1/publish/kill/loads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /v1/publish/kill/loads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
	} {
		c := load.Crowd{Says: head, Drips: strings.Repeat(" ", 500)}
		if strings.Contains(head, "chunked") {
			c.Drips = strings.Repeat("1\r\n \r\n", 100)
		}
		all = append(all, r.plainly(1000, c), r.secretly(100, c))
	}
	for range 5 {
		for _, c := range all {
			c.Drip()
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
	half := r.come(3000, false, r.Secure, load.Crowd{Says: first[:len(first)/2], Drips: first[len(first)/2 : len(first)-1]})
	r.come(3000, false, r.Secure, load.Crowd{Says: first})
	for range 5 {
		half.Drip()
		r.pass(200 * time.Millisecond)
	}
}

// silent peers have connected, by TCP, TLS or WebSocket, and do no more.
func silent(r *rig) {
	r.plainly(3000, load.Crowd{})
	r.come(1500, false, r.Secure, load.Crowd{})
	r.secretly(500, load.Crowd{})
	r.plainly(3000, load.Crowd{Says: upgrade + "\r\n"})
	r.pass(time.Second)
}

// idlers ask for something, and keep the connection.
func idlers(r *rig) {
	idle := load.Crowd{Says: "GET /v1/history/kill/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"}
	r.plainly(5000, idle)
	r.secretly(500, idle)
	r.pass(time.Second)
}

// polls are ten thousand that come at once, are held, and answered at once.
func polls(r *rig) {
	body := connect + `{"id":2,"op":"subscribe","channel":"/kill/polls"}` + "\n"
	answered := 0
	c := r.plainly(10_000, load.Crowd{Hears: func(conn *load.Conn, b []byte) {
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
			r.Errorf("a poll was answered: %.200q", b)
		}
		answered++
		conn.Write([]byte(post("/v1/poll", len(connect)) + connect))
	}})
	n := c.Len()
	c.Say(0, n, []byte(post("/v1/poll?wait=2", len(body))+body))
	for end := time.Now().Add(time.Minute); answered < n && time.Now().Before(end); {
		r.publish(128)
		r.step(time.Millisecond)
	}
	if answered < n || c.Ended > 0 {
		r.Errorf("%d polls were answered, %d connections ended", answered, c.Ended)
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
	for _, c := range []*load.Crowd{
		r.plainly(1000, load.Crowd{Says: says + bomb}),
		r.plainly(1000, load.Crowd{Says: says + frame(0x81, connect) + bomb}),
		r.secretly(300, load.Crowd{Says: says + frame(0x81, connect) + bomb}),
	} {
		for end := time.Now().Add(20 * time.Second); c.Ended < c.Len() && time.Now().Before(end); {
			r.pass(10 * time.Millisecond)
		}
		if c.Ended < c.Len() {
			r.Errorf("%d of %d bombs were not refused", c.Len()-c.Ended, c.Len())
		}
	}
}

// frames are large ones of STOMP, which come all at once and are refused, as nobody may
// publish there.
func frames(r *rig) {
	connect := "CONNECT\naccept-version:1.2\nhost:localhost\n\n\x00"
	send := "SEND\ndestination:/nobody/x\ncontent-length:60000\n\n" + strings.Repeat("x", 60_000) + "\x00"
	says := upgrade + "Sec-WebSocket-Protocol: v12.stomp\r\n\r\n" + frame(0x82, connect) + frame(0x82, send)
	for _, c := range []*load.Crowd{r.plainly(1000, load.Crowd{Says: says}), r.secretly(300, load.Crowd{Says: says})} {
		for end := time.Now().Add(20 * time.Second); c.Ended < c.Len() && time.Now().Before(end); {
			r.pass(10 * time.Millisecond)
		}
		if c.Ended < c.Len() {
			r.Errorf("%d of %d frames were not refused", c.Len()-c.Ended, c.Len())
		}
	}
}

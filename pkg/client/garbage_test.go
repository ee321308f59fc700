package client_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// unmasked returns a frame's bytes as a server may send it, or not.
func unmasked(first byte, payload string) string {
	return string([]byte{first, byte(len(payload))}) + payload
}

// What no server should send costs the connection, and nothing else: the client
// comes back and goes on where it stood.
func TestGarbage(t *testing.T) {
	for name, bytes := range map[string]string{
		"no frame":               "HTTP/1.1 500 Oh no\r\n\r\n",
		"masked":                 "\x81\x82\x00\x00\x00\x00{}",
		"reserved bit":           unmasked(0xc1, "{}"),
		"reserved opcode":        unmasked(0x83, "{}"),
		"binary":                 unmasked(0x82, "{}"),
		"lone continuation":      unmasked(0x80, "{}"),
		"text within text":       unmasked(0x01, "{") + unmasked(0x81, "}"),
		"fragmented ping":        unmasked(0x09, ""),
		"too large":              "\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00",
		"length beyond 63 bits":  "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
		"too many fragments":     unmasked(0x01, "") + strings.Repeat(unmasked(0x00, ""), 2000),
		"close without a code":   unmasked(0x88, ""),
		"close, not UTF-8":       unmasked(0x88, "\x03\xe8\xff"),
		"not JSON":               unmasked(0x81, "nonsense"),
		"not an object":          unmasked(0x81, "[]"),
		"not UTF-8":              unmasked(0x81, "{\"a\":\"\xff\"}"),
		"an offset that is none": unmasked(0x81, `{"ch":"/a","o":-1,"p":0,"t":1,"d":1}`),
		"an offset too large":    unmasked(0x81, `{"ch":"/a","o":9007199254740992,"p":0,"t":1,"d":1}`),
		"a message without data": unmasked(0x81, `{"ch":"/a","o":11,"p":10,"t":1}`),
		"bytes that are none":    unmasked(0x81, `{"ch":"/a","o":11,"p":10,"t":1,"b":"?","ct":"x/y"}`),
		"an error without code":  unmasked(0x81, `{"re":3,"error":{}}`),
		"a bye of the far end":   unmasked(0x81, `{"bye":{"code":"restart","retry":-1}}`),
		"half a frame":           "\x81\x7e",
	} {
		t.Run(name, func(t *testing.T) {
			s, r, p := live(t)
			p.send(push(12, 10))
			r.expect(offset(12))
			if _, err := io.WriteString(p.conn, bytes); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "half") {
				p.cut()
			}
			p = s.accept()
			c := p.expect(protocol.OpConnect)
			if len(c.Last) != 1 || c.Last[0].Offset != 12 {
				t.Fatalf("%+v; want that it goes on after 12", c)
			}
			p.hello(c, epochOne, `"/a":{"offset":12}`)
			p.send(push(13, 12))
			r.expect(offset(13))
		})
	}
}

// What is not for anybody is passed over.
func TestWhatIsUnknownIsIgnored(t *testing.T) {
	_, r, p := live(t)
	p.send(`{"news":1}`, `{"re":77,"offset":1,"epoch":"1111111111111111"}`, `{"re":78}`, `{"op":"dance"}`,
		`{"ch":"/b","o":1,"p":0,"t":1,"d":1}`, `{"ch":"/b","at":1}`, `{"ch":"/b","gap":{"after":1,"to":2,"reason":"lost"}}`,
		`{"ch":"/b","revoked":{"code":"forbidden","message":"no"}}`, `{"ch":"/a","later":1}`,
		string(protocol.AppendError(nil, 0, message.Errorf(message.BadRequest, "ack"))), push(12, 10))
	r.expect(offset(12))
}

// answerHTTP answers the next handshake with a text.
func (s *server) answerHTTP(answer string) {
	s.t.Helper()
	conn, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		s.t.Fatal(err)
	}
	io.WriteString(conn, answer)
}

// A server that is not one, or not ready, is tried again; one that says no is not.
func TestHandshakes(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	for _, answer := range []string{
		"", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 101 " + strings.Repeat("x", 1<<20),
	} {
		s.answerHTTP(answer)
	}
	s.answerHTTP("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	if status, ok := errors.AsType[ws.StatusError](r.end()); !ok || status != 403 {
		t.Errorf("%v; want the end, by 403", r.end())
	}
}

// The usual reasons for a refused handshake are told as what to do.
func TestARefusedHandshakeSaysWhatToDo(t *testing.T) {
	for status, want := range map[string]string{
		"404 Not Found":           "is that the URL of an orbitd?",
		"421 Misdirected Request": "add it to its server.hosts",
	} {
		s := newServer(t)
		r := start(t, client.Options{URL: s.url()})
		s.answerHTTP("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n\r\n")
		if err := r.end(); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", status, err, want)
		}
	}
}

// The last acknowledgements go out before the client does, and then a farewell.
func TestLastAcks(t *testing.T) {
	_, r, p := live(t)
	p.send(push(11, 10))
	r.expect(offset(11))
	r.cancel()
	if c := p.expect(protocol.OpAck); c.Last[0] != (protocol.Mark{Channel: "/a", Offset: 11}) {
		t.Errorf("%+v", c)
	}
	h, err := ws.ReadHeader(p.conn)
	if err != nil || h.OpCode != ws.OpClose {
		t.Errorf("%+v, %v; want a close frame", h, err)
	}
	r.end()
}

// An answer that comes after its caller has gone gives its place back.
func TestAPublishThatIsGivenUp(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url(), MaxPending: 1})
	p, _ := s.welcome("")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.Publish(ctx, client.Publication{Channel: "/a", Data: []byte("1")})
		ended <- err
	}()
	c := p.expect(protocol.OpPublish)
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("%v; want that it ends with its context", err)
	}
	accept(p, c, 1)
	answers := r.publish(client.Publication{Data: []byte("2")}) // there is one place
	accept(p, p.expect(protocol.OpPublish), 2)
	if a := <-answers; a.err != nil || a.receipt.Offset != 2 {
		t.Errorf("%+v", a)
	}
}

// Nobody listens: the client says so, and goes on trying.
func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	states := make(chan client.State, 100)
	r := start(t, client.Options{URL: "http://" + address, OnState: func(s client.State) {
		select {
		case states <- s:
		default:
		}
	}})
	for range 3 {
		if s := <-states; s.Connected || s.Err == nil || s.Retry == 0 {
			t.Errorf("%+v", s)
		}
	}
	r.cancel()
	r.end()
}

package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// An HTTPPublisher is one kept-alive connection that publishes, one request
// after the other.
type HTTPPublisher struct {
	fleet    *Fleet
	conn     *Conn
	lines    int // messages of the request that waits for its answer
	OnAccept func(messages int)
}

// AddHTTP dials a publisher and waits until it is connected.
func (f *Fleet) AddHTTP() (*HTTPPublisher, error) {
	p := &HTTPPublisher{fleet: f}
	if err := f.loop.Dial(f.address, p); err != nil {
		return nil, err
	}
	return p, f.Until("a publisher connects", func() bool { return p.conn != nil })
}

// Publish sends one message as one request.
func (p *HTTPPublisher) Publish(channel string, n uint64, size int) {
	body := append(appendPayload([]byte{'"'}, n, size), '"')
	p.request("/v1/publish"+channel, "application/json", body, 1)
}

// PublishBatch sends messages n to n+count-1 as one request of NDJSON.
func (p *HTTPPublisher) PublishBatch(channel string, n uint64, count, size int) {
	var body []byte
	for i := range uint64(count) {
		body = fmt.Appendf(body, `{"channel":%q,"data":"`, channel)
		body = append(appendPayload(body, n+i, size), "\"}\n"...)
	}
	p.request("/v1/publish", "application/x-ndjson", body, count)
}

func (p *HTTPPublisher) request(path, contentType string, body []byte, lines int) {
	p.lines = lines
	b := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, contentType, len(body))
	p.conn.Write(append(b, body...))
}

// Open implements Handler.
func (p *HTTPPublisher) Open(c *Conn) { p.conn = c }

// Closed implements Handler.
func (p *HTTPPublisher) Closed(_ *Conn, err error) {
	p.fleet.fail(fmt.Errorf("a publisher: %w", err))
}

// Data implements Handler.
func (p *HTTPPublisher) Data(_ *Conn, b []byte) int {
	status, body, length := nextAnswer(b)
	if length == 0 {
		return 0
	}
	if status != "200" || bytes.Contains(body, []byte(`"error"`)) {
		p.fleet.fail(fmt.Errorf("a publish was answered: %.200q", b))
		return len(b)
	}
	lines := p.lines
	p.lines = 0
	p.OnAccept(lines)
	return length
}

// nextAnswer returns the status and body of the answer that b begins with, and how
// long it is; 0 if it is not complete. Chunks are left as they are.
func nextAnswer(b []byte) (status string, body []byte, length int) {
	head, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok || len(head) < len("HTTP/1.1 200") {
		return "", nil, 0
	}
	size := 0
	if _, value, ok := bytes.Cut(head, []byte("Content-Length: ")); ok {
		value, _, _ = bytes.Cut(value, []byte("\r\n"))
		size, _ = strconv.Atoi(string(value))
	} else if bytes.Contains(head, []byte("Transfer-Encoding: chunked")) {
		end := []byte("0\r\n\r\n")
		i := bytes.Index(rest, end)
		if i < 0 {
			return "", nil, 0
		}
		size = i + len(end)
	}
	if len(rest) < size {
		return "", nil, 0
	}
	return string(head[9:12]), rest[:size], len(head) + 4 + size
}

// A sender is a kept-alive connection for /v1/send, which the clients share: a
// browser has its own for each server.
type sender struct {
	fleet *Fleet
	conn  *Conn
	queue [][]byte // requests; the first one is under way
}

// senders is how many of them a fleet has.
const senders = 8

// send carries commands to a client's session.
func (f *Fleet) send(c *Client, commands string) {
	if len(f.senders) < senders {
		s := &sender{fleet: f}
		if err := f.loop.Dial(f.address, s); err != nil {
			f.fail(err)
			return
		}
		f.senders = append(f.senders, s)
	}
	f.sent++
	s := f.senders[f.sent%len(f.senders)]
	fields := "Orbit-Session: " + c.session + "\r\nOrbit-Secret: " + c.secret + "\r\n"
	s.queue = append(s.queue, appendPost(nil, "/v1/send", fields, []byte(commands)))
	if len(s.queue) == 1 && s.conn != nil {
		s.conn.Write(s.queue[0])
	}
}

// Open implements Handler.
func (s *sender) Open(c *Conn) {
	s.conn = c
	if len(s.queue) > 0 {
		c.Write(s.queue[0])
	}
}

// Closed implements Handler.
func (s *sender) Closed(_ *Conn, err error) {
	s.fleet.fail(fmt.Errorf("a connection for /v1/send: %w", err))
}

// Data implements Handler.
func (s *sender) Data(_ *Conn, b []byte) int {
	status, _, length := nextAnswer(b)
	if length == 0 {
		return 0
	}
	if status != "204" {
		s.fleet.fail(fmt.Errorf("a send was answered: %.300q", b))
		return len(b)
	}
	if s.queue = s.queue[1:]; len(s.queue) > 0 {
		s.conn.Write(s.queue[0])
	}
	return length
}

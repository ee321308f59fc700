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
	head, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return 0
	}
	chunked := bytes.Contains(head, []byte("Transfer-Encoding: chunked"))
	length := -1
	if _, rest, ok := bytes.Cut(head, []byte("Content-Length: ")); ok {
		value, _, _ := bytes.Cut(rest, []byte("\r\n"))
		length, _ = strconv.Atoi(string(value))
	}
	switch {
	case chunked && !bytes.HasSuffix(body, []byte("0\r\n\r\n")), !chunked && len(body) < length:
		return 0
	case !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) || bytes.Contains(body, []byte(`"error"`)):
		p.fleet.fail(fmt.Errorf("a publish was answered: %.200q", b))
		return len(b)
	}
	lines := p.lines
	p.lines = 0
	p.OnAccept(lines)
	return len(b)
}

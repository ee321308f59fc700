package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
)

// A source reads a stream of events as browsers do (WHATWG HTML, section 9.2.6).
type source struct {
	in *bufio.Reader

	last        string // the last event ID string
	retry       string
	event, data string
	id          *string
	comments    int
}

// An sse is one event that was dispatched.
type sse struct{ name, data, id string }

// line reads up to CR, LF or CRLF.
func (s *source) line() (string, error) {
	var b []byte
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(b), nil
		}
		if c == '\r' {
			if next, err := s.in.Peek(1); err == nil && next[0] == '\n' {
				_, _ = s.in.ReadByte()
			}
			return string(b), nil
		}
		b = append(b, c)
	}
}

// next returns the next event that is dispatched.
func (s *source) next() (sse, error) {
	for {
		line, err := s.line()
		if err != nil {
			return sse{}, err
		}
		if line == "" {
			if s.id != nil {
				s.last = *s.id
			}
			e := sse{s.event, strings.TrimSuffix(s.data, "\n"), s.last}
			data := s.data
			s.event, s.data, s.id = "", "", nil
			if data != "" {
				return e, nil
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "":
			s.comments++
		case "event":
			s.event = value
		case "data":
			s.data += value + "\n"
		case "id":
			if !strings.ContainsRune(value, 0) {
				s.id = &value
			}
		case "retry":
			s.retry = value
		}
	}
}

// An eventSource is a browser's, without our library: it comes back by itself with
// the last id.
type eventSource struct {
	r        *rig
	over     carriage
	channels []string
	query    string // beside the channels
	last     string
}

// connect opens the stream.
func (e *eventSource) connect(ctx context.Context, dial dialer, header ...string) (*source, *http.Response, error) {
	w := way{SSEPath, e.over}
	c := e.r.talk(w, dial)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base()+SSEPath+"?"+url.Values{"channel": e.channels}.Encode()+e.query, nil)
	must(e.r.t, err)
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	if e.last != "" {
		q.Header.Set("Last-Event-ID", e.last)
	}
	answer, err := c.client.Do(q)
	if err != nil {
		return nil, nil, err
	}
	c.body = answer.Body
	return &source{in: bufio.NewReader(answer.Body), last: e.last}, answer, nil
}

func (e *eventSource) mustConnect(header ...string) *source {
	e.r.t.Helper()
	s, answer, err := e.connect(e.r.t.Context(), nil, header...)
	must(e.r.t, err)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != eventStream {
		b, _ := io.ReadAll(answer.Body)
		e.r.t.Fatalf("status %d, %s", answer.StatusCode, b)
	}
	return s
}

// want reads the next event.
func (s *source) want(t testing.TB, name, data string) sse {
	t.Helper()
	got, err := s.next()
	must(t, err)
	if got.name != name {
		t.Fatalf("got %+v, want %s", got, name)
	}
	if data != "" {
		compare(t, decode(t, got.data), data)
	}
	return got
}

func TestEventSource(t *testing.T) {
	for _, over := range []carriage{bare, sealed, second} {
		r := newRig(t, rigOptions{rules: "/closed/** - *\n/** * *"})
		e := &eventSource{r: r, over: over, channels: []string{"/a/b", "/closed/x", "/a/c"}}
		s := e.mustConnect()
		open := s.want(t, eventOpen, "")
		o := decode(t, open.data)
		if subs := fmt.Sprint(o["subs"]); o["ttl"] != 0.0 || o["re"] != nil || s.retry == "" ||
			subs != "map[/a/b:map[offset:1] /a/c:map[offset:1] /closed/x:map[error:map[code:forbidden message:subscribe to /closed/x is not allowed without a login that may do so]]]" {
			t.Errorf("got %v, retry %q", o, s.retry)
		}
		r.publish("/a/b", "one\r\nline: \x00\u2028")
		r.publish("/a/c", 2)
		epoch := r.engine.Status().Epoch.String()
		if got := s.want(t, "", `{"ch":"/a/b","o":2,"p":0,"d":"one\r\nline: \u0000\u2028"}`); got.id != epoch+"-2" {
			t.Errorf("the id is %q", got.id)
		}
		if got := s.want(t, "", `{"ch":"/a/c","o":3,"p":0,"d":2}`); got.id != epoch+"-3" {
			t.Errorf("the id is %q", got.id)
		}
		// It may publish, by the session that it was told.
		c := r.talk(way{SSEPath, over}, nil)
		c.session, c.secret = o["session"].(string), o["secret"].(string)
		c.send(`{"id":1,"op":"publish","channel":"/x","data":1}`, `{"id":2,"op":"subscribe","channel":"/x"}`, `{"id":3,"op":"unsubscribe","channel":"/a/b"}`)
		s.want(t, eventReply, `{"re":1,"offset":4}`)
		s.want(t, eventReply, `{"re":2,"error":{"code":"bad_request","message":"the channels of an EventSource stand in its URL"}}`)
		s.want(t, eventReply, `{"re":3,"error":{"code":"bad_request","message":"the channels of an EventSource stand in its URL"}}`)
		r.server.Drain(time.Nanosecond)
		s.want(t, eventBye, `{"bye":{"code":"restart","retry":200}}`)
		if s.retry != "200" {
			t.Errorf("comes back after %s ms", s.retry)
		}
		if _, err := s.next(); err == nil {
			t.Error("something behind bye")
		}
	}
}

// The id moves at once, and Last-Event-ID comes before the URL's after.
func TestEventSourceStarts(t *testing.T) {
	const from = "EPOCH"
	for _, c := range []struct {
		query, last string
		want        []int
	}{
		{"&after=0", "", []int{1, 2, 3}},
		{"&after=EPOCH-3", "", []int{3}},
		{"&after=0", "EPOCH-4", nil},
		{"", "EPOCH-2", []int{2, 3}},
		{"", "", nil},
	} {
		r := newRig(t, rigOptions{})
		r.publish("/a/b", 1, 2, 3)
		epoch := r.engine.Status().Epoch.String()
		s := (&eventSource{
			r: r, channels: []string{"/a/b"}, query: strings.ReplaceAll(c.query, from, epoch), last: strings.ReplaceAll(c.last, from, epoch),
		}).mustConnect()
		s.want(t, eventOpen, "")
		for _, payload := range c.want {
			if got := decode(t, s.want(t, "", "").data); got["d"] != float64(payload) {
				t.Errorf("%+v: %v", c, got)
			}
		}
		for s.last == "" { // the position comes without a message
			line, err := s.line()
			must(t, err)
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				s.last = id
			}
		}
		if s.last != epoch+"-4" {
			t.Errorf("%+v: the position is %s", c, s.last)
		}
		r.publish("/a/b", "next")
		if got := s.want(t, "", ""); decode(t, got.data)["d"] != "next" {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// An id of another server, or of none, is another history's: a gap, and then all
// that there is.
func TestEventSourceFromElsewhere(t *testing.T) {
	for _, last := range []string{"0123456789abcdef-5", "7", "x", "0123456789abcdef-0", "-1", strings.Repeat("9", 100)} {
		r := newRig(t, rigOptions{})
		r.publish("/a/b", 1)
		s := (&eventSource{r: r, channels: []string{"/a/b"}, last: last}).mustConnect()
		s.want(t, eventOpen, "")
		gap := decode(t, s.want(t, eventGap, "").data)["gap"].(map[string]any)
		if gap["reason"] != "epoch" || gap["to"] != 1.0 {
			t.Errorf("%q: %v", last, gap)
		}
		if got := s.want(t, "", `{"ch":"/a/b","o":2,"p":0,"d":1}`); !strings.HasSuffix(got.id, "-2") {
			t.Errorf("%q: the id is %q", last, got.id)
		}
	}
}

// A keep-alive is a comment and the position, which never goes back.
func TestEventSourceKeepAlive(t *testing.T) {
	for _, over := range []carriage{bare, sealed, second} {
		r := newRig(t, rigOptions{limits: Limits{Ping: time.Nanosecond}})
		e := &eventSource{r: r, over: over, channels: []string{"/a/b"}}
		s := e.mustConnect()
		s.want(t, eventOpen, "")
		r.publish("/a/b", 1)
		want := s.want(t, "", "").id
		for s.comments < 3 {
			line, err := s.line()
			must(t, err)
			switch {
			case line == ":":
				s.comments++
			case line != "" && line != "id: "+want:
				t.Fatalf("got %q", line)
			}
		}
		// And over our own streams it is an object.
		for _, w := range []way{{StreamPath, over}, {SSEPath, over}} {
			c, _ := r.on(w, "")
			c.want(`{"op":"ping"}`)
			c.want(`{"op":"ping"}`)
		}
	}
}

// A cookie counts as anywhere; a token may stand in the URL, and is in no log.
func TestEventSourceIdentity(t *testing.T) {
	r := newRig(t, rigOptions{rules: "/mine/** user:alice *\n/** - *"})
	status := func(query string, header ...string) int {
		e := &eventSource{r: r, channels: []string{"/mine/x"}, query: query}
		_, answer, err := e.connect(t.Context(), nil, header...)
		must(t, err)
		return answer.StatusCode
	}
	for _, c := range []struct {
		query  string
		header []string
		want   int
	}{
		{"", nil, 403},
		{"&token=alice", nil, 200},
		{"&token=bob", nil, 403},
		{"&token=wrong", nil, 401},
		{"", []string{"Authorization", "Bearer alice"}, 200},
		{"", []string{"Authorization", "nonsense"}, 401},
		{"", []string{"Cookie", Cookie + "=alice"}, 403},
		{"", []string{"Cookie", Cookie + "=alice", "Sec-Fetch-Site", "same-origin"}, 200},
		{"", []string{"Cookie", Cookie + "=alice", "Sec-Fetch-Site", "cross-site"}, 403},
		{"", []string{"Cookie", Cookie + "=alice", "Origin", r.http}, 200},
		{"", []string{"Cookie", Cookie + "=alice", "Origin", "https://evil.example"}, 403},
	} {
		if got := status(c.query, c.header...); got != c.want {
			t.Errorf("%s %v: %d, want %d", c.query, c.header, got, c.want)
		}
	}
	const secret = "alice-and-nobody-else"
	status("&token=" + secret)
	if answer, err := r.talk(way{SSEPath, bare}, nil).post(SSEPath+"?token="+secret, "x"); err == nil {
		answer.Body.Close()
	}
	raw, err := net.Dial("tcp", strings.TrimPrefix(r.http, "http://"))
	must(t, err)
	fmt.Fprintf(raw, "GET %s?token=%s&channel=/mine/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", SSEPath, secret)
	raw.Close()
	if strings.Contains(r.log.String(), secret) {
		t.Error("the token is in the log")
	}
}

// A stream is cut at any byte, while messages are published on several channels: an
// EventSource that comes back with the last id gets each once, and in order.
func TestEventSourceResumesAnywhere(t *testing.T) {
	for _, over := range []carriage{bare, sealed, second} {
		r := newRig(t, rigOptions{})
		rnd := rand.New(rand.NewPCG(7, 7))
		e := &eventSource{r: r, over: over, channels: []string{"/a", "/b", "/c"}, query: "&after=0"}
		const messages = 1500
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for i := range messages {
				r.publish(channel.Name(e.channels[i%3]), i)
			}
		})
		var got []int
		for cuts := 0; len(got) < messages; cuts++ {
			if cuts == 10_000 {
				t.Fatal("it does not get on")
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			s, _, err := e.connect(ctx, cutting(1500+rnd.IntN(30_000)))
			if err == nil {
				got = e.read(s, got)
				e.last = s.last
			}
			cancel()
		}
		publishing.Wait()
		for i, n := range got {
			if n != i {
				t.Fatalf("message %d is %d", i, n)
			}
		}
	}
}

// read reads payloads until the stream is cut, or all have come.
func (e *eventSource) read(s *source, got []int) []int {
	for {
		event, err := s.next()
		if err != nil {
			return got
		}
		if event.name == "" {
			var m struct{ D int }
			must(e.r.t, json.Unmarshal([]byte(event.data), &m))
			if got = append(got, m.D); m.D == 1499 {
				return got
			}
		}
	}
}

// cutting returns a dialer of connections that end, as if the network had, after
// so many bytes have been read.
func cutting(bytes int) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &cut{Conn: conn, left: bytes}, nil
	}
}

type cut struct {
	net.Conn
	left int
}

func (c *cut) Read(b []byte) (int, error) {
	if c.left <= 0 {
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/session"
)

// An answer that is lost after it was written is given again to the poll that names
// the same positions, with the secret that the client has.
func TestLostAnswers(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a/b", 1, 2)
	c, _ := r.on(way{PollPath, bare}, `"last":{"/a/b":0}`)
	c.want(`{"ch":"/a/b","o":2,"p":0,"d":1}`)
	c.want(`{"ch":"/a/b","o":3,"p":2,"d":2}`)
	c.want(`{"ch":"/a/b","at":3}`)
	r.publish("/a/b", 3, 4)
	for range 5 {
		answer, err := c.post(PollPath+"?wait=9", c.connect())
		must(t, err)
		b, err := io.ReadAll(answer.Body)
		must(t, err)
		answer.Body.Close()
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if o := decode(t, lines[0]); o["resumed"] != true || o["session"] != c.session {
			t.Fatalf("got %v", o)
		}
		compare(t, decode(t, lines[1]), `{"ch":"/a/b","o":4,"p":3,"d":3}`)
		compare(t, decode(t, lines[2]), `{"ch":"/a/b","o":5,"p":4,"d":4}`)
	}
}

// A poll whose commands begin subscriptions in the past is answered with what they
// bring, and not before: the next poll would begin them anew.
func TestAnswersBringWhatIsRead(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a/read", 1)
	r.publish("/a/b", 2)
	c, _ := r.on(way{PollPath, bare}, `"last":{"/a/b":0}`)
	c.want(`{"ch":"/a/b","o":3,"p":0,"d":2}`)
	c.want(`{"ch":"/a/b","at":3}`)
	for range 5 {
		subscribe := `{"id":2,"op":"subscribe","channel":"/a/read","after":0}`
		answer, err := c.post(PollPath+"?wait=9", c.connect()+"\n"+subscribe)
		must(t, err)
		b, err := io.ReadAll(answer.Body)
		must(t, err)
		answer.Body.Close()
		if !strings.Contains(string(b), `"ch":"/a/read","o":2,`) {
			t.Fatalf("the answer lacks what was asked for: %s", b)
		}
	}
}

// Polls overlap at random, each with positions of its own. Whatever they are
// answered is what follows these, without a hole; and those that get nothing were
// ended by others.
func TestOverlappingPolls(t *testing.T) {
	for _, over := range []carriage{bare, sealed, second} {
		r := newRig(t, rigOptions{})
		r.publish("/a/b", 0)
		c, _ := r.on(way{PollPath, over}, `"last":{"/a/b":0}`)
		c.next()
		p := &overlap{talk: c, at: 2}
		const messages = 300
		var all sync.WaitGroup
		all.Go(func() {
			for i := range messages {
				r.publish("/a/b", i)
			}
		})
		for range 6 {
			all.Go(func() {
				for p.poll(messages + 2) {
				}
			})
		}
		all.Wait()
		if p.faults != nil {
			t.Fatal(p.faults)
		}
	}
}

// An overlap is one client with several polls at a time.
type overlap struct {
	*talk
	mu     sync.Mutex
	at     uint64 // what the client has
	faults []string
}

// poll makes one, from a position that the client has or had a moment ago. It
// reports whether to go on.
func (p *overlap) poll(until uint64) bool {
	p.mu.Lock()
	from := p.at - min(p.at-2, rand.Uint64N(5))
	text := fmt.Sprintf(`{"id":1,"op":"connect","session":%q,"secret":%q,"epoch":%q,"last":{"/a/b":%d}}`, p.session, p.secret, p.epoch, from)
	more := p.at < until && p.faults == nil
	p.mu.Unlock()
	if !more {
		return false
	}
	answer, err := p.post(fmt.Sprintf("%s?wait=%d", PollPath, rand.IntN(2)), text)
	if err != nil {
		p.fault("%v", err)
		return false
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		p.fault("%d %s %v", answer.StatusCode, b, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range protocol.Lines(b) {
		var o struct {
			Session, Secret string
			O, P            uint64
		}
		if err := json.Unmarshal(line, &o); err != nil {
			p.faults = append(p.faults, err.Error())
		}
		switch {
		case o.Session != "":
			p.session, p.secret = o.Session, o.Secret
		case o.O > 0 && o.P > from || o.O > 0 && o.O <= from:
			p.faults = append(p.faults, fmt.Sprintf("%s does not follow %d", line, from))
		case o.O > 0:
			from = o.O
		}
	}
	p.at = max(p.at, from)
	return true
}

func (p *overlap) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// The connection of a poll serves on behind the answer, for what was sent ahead as
// well, and takes other requests.
func TestConnectionServesOn(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a/b", 1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.http, "http://"))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	in := bufio.NewReader(conn)
	const body = `{"id":1,"op":"connect","last":{"/a/b":0}}`
	request := fmt.Sprintf("POST %s?wait=0 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", PollPath, len(body), body)
	answered := func() *http.Response {
		t.Helper()
		answer, err := http.ReadResponse(in, nil)
		must(t, err)
		b, err := io.ReadAll(answer.Body)
		must(t, err)
		if answer.StatusCode != http.StatusOK || answer.Close || !strings.Contains(string(b), `"d":1`) {
			t.Fatalf("%v %s", answer, b)
		}
		return answer
	}
	for range 3 {
		_, err = io.WriteString(conn, request)
		must(t, err)
		answered()
	}
	_, err = io.WriteString(conn, strings.Repeat(request, 5))
	must(t, err)
	for range 5 {
		answered()
	}
	for i := range len(request) { // byte by byte, behind an answer
		_, err = io.WriteString(conn, request[i:i+1])
		must(t, err)
	}
	answered()
	// A body whose end is in its chunks is its connection's last.
	_, err = fmt.Fprintf(conn, "POST %s?wait=0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", PollPath, len(body), body)
	must(t, err)
	answer, err := http.ReadResponse(in, nil)
	must(t, err)
	if !answer.Close {
		t.Error("a connection that cannot be followed serves on")
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Error(err)
	}
	for r.server.Len() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// What is held costs no goroutine, on any transport, with TLS or without, and is
// answered all the same.
func TestHeldIsParked(t *testing.T) {
	const each = 50
	r := newRig(t, rigOptions{})
	r.publish("/a/b", 0)
	before := runtime.NumGoroutine()
	epoch := r.engine.Status().Epoch.String()
	text := `{"id":1,"op":"connect","epoch":"` + epoch + `","last":{"/a/b":2}}`
	requests := []string{
		"GET " + SSEPath + "?channel=/a/b&after=" + epoch + "-2 HTTP/1.1\r\nHost: x\r\n\r\n",
		plain + string(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(text))))),
	}
	for _, path := range []string{PollPath + "?wait=55", StreamPath, SSEPath} {
		requests = append(requests, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(text), text))
	}
	var conns []net.Conn
	for range each {
		for _, request := range requests {
			for _, sealed := range []bool{false, true} {
				conn := r.raw(sealed)
				defer conn.Close()
				_, err := io.WriteString(conn, request)
				must(t, err)
				conns = append(conns, conn)
			}
		}
	}
	r.connected(len(conns))
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before+10 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d with %d connections", before, runtime.NumGoroutine(), len(conns))
		}
		time.Sleep(time.Millisecond)
	}
	r.publish("/a/b", "all")
	for _, conn := range conns {
		seen := ""
		for b := make([]byte, 4096); !strings.Contains(seen, `"d":"all"`); {
			n, err := conn.Read(b)
			must(t, err)
			seen += string(b[:n])
		}
	}
}

// raw is a connection of HTTP/1.1, with TLS or without.
func (r *rig) raw(sealed bool) (conn net.Conn) {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.http, "http://"))
	if sealed {
		conn, err = tls.Dial("tcp", strings.TrimPrefix(r.https, "https://"), &tls.Config{InsecureSkipVerify: true})
	}
	must(r.t, err)
	must(r.t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// A poll ends when its time is over, and a client that goes away leaves nothing.
func TestPollEnds(t *testing.T) {
	r := newRig(t, rigOptions{session: session.Limits{TTL: time.Nanosecond}})
	c := r.talk(way{PollPath, bare}, nil)
	answer, err := c.post(PollPath+"?wait=1", `{"id":1,"op":"connect","last":{"/a/b":0}}`)
	must(t, err)
	b, err := io.ReadAll(answer.Body)
	must(t, err)
	answer.Body.Close()
	if n := strings.Count(string(b), "\n"); n != 2 || answer.ContentLength != int64(len(b)) {
		t.Errorf("%d lines: %s", n, b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.http+PollPath+"?wait=55", strings.NewReader(`{"id":1,"op":"connect","last":{"/a/b":0}}`))
	must(t, err)
	gone := make(chan error, 1)
	go func() {
		_, err := c.client.Do(q)
		gone <- err
	}()
	r.connected(1)
	cancel()
	<-gone
	for r.server.Len() > 0 || r.sessions.Count() > 0 {
		time.Sleep(time.Millisecond)
	}
}

package httpserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/httpserver"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

// patience bounds a wait that ends a test as failed.
const patience = time.Minute

// A clock is set by the test.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A rig is a server whose upgraded connections send back what they get.
type rig struct {
	t        testing.TB
	clock    *clock
	reactor  *reactor.Reactor
	server   *httpserver.Server
	listener net.Listener
	client   *tls.Config   // nil without TLS
	wait     chan struct{} // requests for /wait are answered when it is closed
	waiting  chan struct{} // and send here when they have come
	flooded  chan error    // how answers to /flood have ended

	mu   sync.Mutex
	seen []string // METHOD PATH of each request that was served
}

const (
	upgradePath = "/up"
	switched    = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	handshake   = "GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)

// newRig makes a rig; with TLS for a test of TestOverTLS.
func newRig(t testing.TB) *rig {
	t.Helper()
	return makeRig(t, overTLS(t))
}

func makeRig(t testing.TB, secured bool, options ...func(*httpserver.Options)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{t: time.Unix(1_790_000_000, 0)}, wait: make(chan struct{}), waiting: make(chan struct{}, 100), flooded: make(chan error, 1)}
	log := logrus.New()
	log.SetOutput(t.Output())
	log.SetLevel(logrus.DebugLevel)
	var err error
	r.reactor, err = reactor.New(reactor.Options{Loops: 2, Logger: log, Tick: time.Millisecond, Now: r.clock.now})
	must(t, err)
	o := httpserver.Options{
		Reactor: r.reactor, Handler: r.handler(), UpgradePath: upgradePath, Upgrade: upgrade, Logger: log, Now: r.clock.now,
	}
	for _, set := range options {
		set(&o)
	}
	r.server, err = httpserver.New(o)
	must(t, err)
	r.listener, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	if secured {
		a := tlstest.NewAuthority()
		r.client = a.Client()
		own := &tls.Config{Certificates: []tls.Certificate{a.Certificate()}, NextProtos: httpserver.Protocols()}
		must(t, r.server.ListenTLS(r.listener, own))
	} else {
		must(t, r.server.Listen(r.listener))
	}
	t.Cleanup(func() {
		must(t, r.shutdown())
		must(t, r.reactor.Close(context.Background()))
		r.listener.Close()
	})
	return r
}

func (r *rig) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return r.server.Shutdown(ctx)
}

// upgrade says yes, but to a handshake with the header No.
func upgrade(c *reactor.Conn, head []byte) (reactor.Handler, bool) {
	if strings.Contains(string(head), "\r\nNo: ") {
		c.Write([]byte("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n"))
		return nil, false
	}
	c.Write([]byte(switched))
	return echo{}, true
}

type echo struct{}

func (echo) Data(c *reactor.Conn, b []byte) int { c.Write(slices.Clone(b)); return len(b) }
func (echo) Writable(*reactor.Conn)             {}
func (echo) Closed(*reactor.Conn, error)        {}

func (r *rig) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(b)
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, q *http.Request) {
		r.waiting <- struct{}{}
		select {
		case <-r.wait:
			io.WriteString(w, "waited")
		case <-q.Context().Done():
		}
	})
	mux.HandleFunc("/flood", func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for b := make([]byte, 1<<16); err == nil; {
			_, err = w.Write(b)
		}
		r.flooded <- err
	})
	mux.HandleFunc("/parked", r.park)
	mux.HandleFunc("/keep", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "keep-alive") })
	mux.HandleFunc("/tls", func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprint(w, q.Proto, " ", q.TLS != nil && q.TLS.HandshakeComplete, " ", q.RemoteAddr)
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc(upgradePath, func(w http.ResponseWriter, _ *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			r.t.Error(err)
			return
		}
		io.WriteString(nc, switched)
		rest, _ := rw.Reader.Peek(rw.Reader.Buffered())
		if _, err := r.reactor.Loops()[0].Adopt(nc, rest, echo{}); err != nil {
			r.t.Error(err)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, q.Method+" "+q.URL.Path)
		r.mu.Unlock()
		mux.ServeHTTP(w, q)
	})
}

// park takes the connection to a loop and answers there, after which it waits for
// the next request.
func (r *rig) park(w http.ResponseWriter, _ *http.Request) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		r.t.Error(err)
		return
	}
	rest, _ := rw.Reader.Peek(rw.Reader.Buffered())
	loop := r.reactor.Loops()[0]
	c, err := loop.Adopt(nc, rest, waiting{})
	if err != nil {
		r.t.Error(err)
		return
	}
	loop.Post(func() {
		c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nparked"))
		if next := r.server.Idle(c); next != nil {
			c.SetHandler(next)
		} else {
			c.Close()
		}
	})
}

// waiting leaves what comes to the next handler.
type waiting struct{}

func (waiting) Data(*reactor.Conn, []byte) int { return 0 }
func (waiting) Writable(*reactor.Conn)         {}
func (waiting) Closed(*reactor.Conn, error)    {}

// served returns the requests that were served since it was last called.
func (r *rig) served() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.seen = nil }()
	return strings.Join(r.seen, ", ")
}

// A peer is a client's connection.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func (r *rig) dial() *peer {
	p := dial(r.t, r.listener.Addr().String())
	if r.client != nil {
		nc := tls.Client(p.conn, r.client)
		p.conn, p.in = nc, bufio.NewReader(nc)
	}
	return p
}

func dial(t testing.TB, address string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { nc.Close() })
	must(t, nc.SetDeadline(time.Now().Add(patience)))
	return &peer{t, nc, bufio.NewReader(nc)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	_, err := io.WriteString(p.conn, s)
	must(p.t, err)
}

// drip sends byte by byte, for as long as the other side takes it.
func (p *peer) drip(s string) {
	p.t.Helper()
	for i := range len(s) {
		if _, err := io.WriteString(p.conn, s[i:i+1]); err != nil {
			return
		}
	}
}

// want reads an answer and compares its status and the beginning of its body.
func (p *peer) want(status int, body string) *http.Response {
	p.t.Helper()
	answer, text, err := p.answer()
	must(p.t, err)
	if answer.StatusCode != status || !strings.HasPrefix(text, body) {
		p.t.Fatalf("the answer is %d %q, want %d %q", answer.StatusCode, text, status, body)
	}
	return answer
}

func (p *peer) answer() (*http.Response, string, error) {
	answer, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer, string(text), err
}

// wantText reads exactly s.
func (p *peer) wantText(s string) {
	p.t.Helper()
	b := make([]byte, len(s))
	n, err := io.ReadFull(p.in, b)
	must(p.t, err)
	if string(b[:n]) != s {
		p.t.Fatalf("read %.200q, want %.200q", b[:n], s)
	}
}

// wantEnd reads the orderly end of the connection.
func (p *peer) wantEnd() {
	p.t.Helper()
	if b, err := io.ReadAll(p.in); err != nil || len(b) > 0 {
		p.t.Fatalf("read %.200q and %v, want the end", b, err)
	}
}

// statuses reads answers to the end of the connection.
func (p *peer) statuses() (all []int) {
	p.t.Helper()
	for {
		answer, _, err := p.answer()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		must(p.t, err)
		all = append(all, answer.StatusCode)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get(path string) string { return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path) }

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

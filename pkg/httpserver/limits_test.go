package httpserver_test

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// The bounds that the server promises.
const (
	maxHead     = 16 << 10
	headTimeout = 5 * time.Second
)

// big returns a request whose head has n bytes.
func big(n int) string {
	const begin, end = "GET /hello HTTP/1.1\r\nHost: x\r\n", "\r\n"
	var b strings.Builder
	b.WriteString(begin)
	for b.Len() < n-len(end) {
		line := min(n-len(end)-b.Len(), 1000)
		if rest := n - len(end) - b.Len() - line; rest < 10 {
			line += rest
		}
		b.WriteString("A: " + strings.Repeat("a", line-5) + "\r\n")
	}
	return b.String() + end
}

func TestOversizedHead(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.send(big(maxHead))
	p.want(200, "hello")
	p.send(big(maxHead))
	p.want(200, "hello")
	// net/http does not count what it has in its buffer when a request begins.
	p.send(big(maxHead + 4096 + 1))
	p.want(431, "")
	p.wantEnd()

	p = r.dial()
	p.send(big(maxHead + 1))
	p.want(431, "the request's head is too large")
	p.wantEnd()

	p = r.dial()
	p.drip(strings.Repeat("\r\n", maxHead/2)) // no end of a head
	p.want(431, "")
	p.wantEnd()
}

// open waits until the reactor has n connections, and each its handler.
func (r *rig) open(n int) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for r.reactor.Len() != n {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d connections, want %d", r.reactor.Len(), n)
		}
		runtime.Gosched()
	}
	for range 2 { // one loop may have accepted for the other
		for _, l := range r.reactor.Loops() {
			done := make(chan struct{})
			l.Post(func() { close(done) })
			<-done
		}
	}
}

// turn waits until each loop has run a tick that began after this call.
func (r *rig) turn() {
	for _, l := range r.reactor.Loops() {
		now := r.clock.now()
		done := false
		for !done {
			seen := make(chan bool)
			l.Post(func() { seen <- !l.Now().Before(now) })
			done = <-seen
		}
	}
}

// A head that comes byte by byte has as much time as any other.
func TestSlowloris(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	r.open(1)
	text := get("/hello")
	p.drip(text[:10])
	r.clock.add(headTimeout / 2)
	r.turn()
	late := r.dial()
	r.open(2)
	late.send("GET /hello")
	p.drip(text[10 : len(text)-1])
	r.clock.add(headTimeout / 2)
	p.want(408, "the request's head did not come in time")
	p.wantEnd()
	late.send(" HTTP/1.1\r\nHost: x\r\n\r\n")
	late.want(200, "hello")
}

// Connections that send nothing cost no goroutine, and end without a word: a
// browser opens some ahead of need.
func TestSilentConnections(t *testing.T) {
	const many = 1000
	r := newRig(t)
	before := runtime.NumGoroutine()
	peers := make([]*peer, many)
	for i := range peers {
		peers[i] = r.dial()
	}
	r.open(many)
	if after := runtime.NumGoroutine(); after > before+10 {
		t.Errorf("%d goroutines before, %d with %d connections", before, after, many)
	}
	r.clock.add(headTimeout - 1)
	r.turn()
	if n := r.reactor.Len(); n != many {
		t.Errorf("%d connections ended early", many-n)
	}
	r.clock.add(1)
	for _, p := range peers {
		p.wantEnd()
		p.conn.Close()
	}
	r.open(0)
}

// Openings leave the list from wherever they stand in it.
func TestOpeningsComeAndGo(t *testing.T) {
	r := newRig(t)
	var peers []*peer
	for range 30 {
		peers = append(peers, r.dial())
	}
	r.open(len(peers))
	for i, p := range peers {
		switch i % 3 {
		case 0:
			p.send(get("/hello"))
			p.want(200, "hello")
			must(t, p.conn.Close())
		case 1:
			must(t, p.conn.Close())
		}
	}
	r.open(10)
	r.clock.add(headTimeout)
	for i, p := range peers {
		if i%3 == 2 {
			p.wantEnd()
			must(t, p.conn.Close())
		}
	}
	r.open(0)
}

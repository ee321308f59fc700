package httpserver_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/httpserver"
	"github.com/orbitd/orbitd/pkg/reactor"
)

// Bounds of what is not complete.
const (
	bodyTimeout  = time.Minute
	maxAwaited   = 512
	awaitedBytes = 32 << 20
	maxKept      = 16 << 20
)

// goroutines waits until there are no more than n, or a few.
func goroutines(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > n+10; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, there were %d", runtime.NumGoroutine(), n)
		}
		time.Sleep(time.Millisecond)
	}
}

// A connection on which no other request comes goes back to its loop, and serves on:
// by pieces, too, and for as long as any other that waits there.
func TestConnectionsRest(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secured), func(t *testing.T) {
			r := makeRig(t, secured, func(o *httpserver.Options) { o.SetRest(time.Millisecond) })
			before := runtime.NumGoroutine()
			var peers []*peer
			for range 100 {
				peers = append(peers, r.dial())
			}
			for range 3 {
				for _, p := range peers {
					p.send(post("/echo", "again"))
					p.want(200, "again")
				}
				r.open(len(peers))
				goroutines(t, before)
			}
			peers[0].drip(get("/hello"))
			peers[0].want(200, "hello")
			peers[0].send(get("/hello") + get("/hello") + "GET /hello")
			peers[0].want(200, "hello")
			peers[0].want(200, "hello")
			peers[0].send(" HTTP/1.1\r\nHost: x\r\n\r\n")
			peers[0].want(200, "hello")
			peers[1].send(strings.Replace(handshake, "/up", upgradePath, 1))
			peers[1].wantText(switched)
			r.open(len(peers))
			goroutines(t, before)
			r.clock.add(idleTimeout)
			peers[2].wantEnd()
		})
	}
}

// A small body is awaited on the loop, and has its time.
func TestBodyOnTheLoop(t *testing.T) {
	r := newRig(t)
	before := runtime.NumGoroutine()
	var peers []*peer
	for range 100 {
		p := r.dial()
		p.send(strings.TrimSuffix(post("/echo", "slow"), "ow"))
		peers = append(peers, p)
	}
	r.open(len(peers))
	peers[0].send("o")
	goroutines(t, before)
	if s := r.served(); s != "" {
		t.Errorf("served: %s", s)
	}
	peers[0].send("w")
	peers[0].want(200, "slow")
	r.clock.add(bodyTimeout)
	peers[1].want(408, "the request's body did not come in time")
	peers[1].wantEnd()
	expects := r.dial()
	expects.send(strings.Replace(strings.TrimSuffix(post("/echo", "slow"), "slow"), "Host", "Expect: 100-continue\r\nHost", 1))
	expects.wantText("HTTP/1.1 100 Continue\r\n\r\n")
	expects.send("slow")
	expects.want(200, "slow")
}

// A crowd whose time is over is ended by pieces, between which the loops do what else
// there is.
func TestCrowdExpires(t *testing.T) {
	r := newRig(t)
	const crowd, piece = 400, 16
	var peers []*peer
	for range crowd {
		p := r.dial()
		p.send("GET /hello HTTP/1.1\r\n")
		peers = append(peers, p)
	}
	r.open(crowd)
	loops := r.reactor.Loops()
	ended := make([][]int, len(loops)) // by loop and turn
	for i, l := range loops {
		r.on(l, func() {
			before := r.server.Fresh(i)
			l.OnTurn(func() {
				n := r.server.Fresh(i)
				ended[i] = append(ended[i], before-n)
				before = n
			})
		})
	}
	r.clock.add(headTimeout)
	for _, p := range peers {
		p.want(408, "the request's head did not come in time")
		p.wantEnd()
	}
	all := 0
	for i, l := range loops {
		r.on(l, func() {}) // the turn of the last one is over
		r.on(l, func() {
			for _, n := range ended[i] {
				if all += n; n > piece {
					t.Errorf("a turn ended %d", n)
				}
			}
		})
	}
	if all != crowd {
		t.Errorf("%d have ended in turns, of %d", all, crowd)
	}
}

// A panic while a crowd is ended leaves the rest to be ended later.
func TestCrowdExpiresBehindAPanic(t *testing.T) {
	c := &clock{t: time.Unix(1_790_000_000, 0)}
	late, calls := c.now().Add(headTimeout), 0 // the loop's
	var one *reactor.Reactor                   // with one loop, on which the second call is for the second piece
	r := makeRig(t, false, func(o *httpserver.Options) {
		var err error
		one, err = reactor.New(reactor.Options{Loops: 1, Logger: o.Logger, Tick: time.Millisecond, Now: c.now})
		must(t, err)
		o.Reactor = one
		o.Now = func() time.Time {
			now := c.now()
			if !now.Before(late) {
				if calls++; calls == 2 {
					panic("a clock that is broken once")
				}
			}
			return now
		}
	})
	must(t, r.reactor.Close(t.Context()))
	r.reactor = one
	var peers []*peer
	for range 40 {
		p := r.dial()
		p.send("GET /hello HTTP/1.1\r\n")
		peers = append(peers, p)
	}
	r.open(len(peers))
	c.add(headTimeout)
	for _, p := range peers {
		p.want(408, "the request's head did not come in time")
	}
}

// on runs f on a loop, and waits for that.
func (r *rig) on(l *reactor.Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() { defer close(done); f() })
	<-done
}

const chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

// Of bodies that are read by who serves the request, so many are awaited at a time; then
// those go that come most slowly, and others are served all the while, small ones and
// larger ones. Handlers that take their time hold up nobody.
func TestManyBodies(t *testing.T) {
	r := newRig(t)
	var peers []*peer
	for range maxAwaited {
		p := r.dial()
		p.send(chunked + "1\r\na\r\n")
		peers = append(peers, p)
	}
	for deadline := time.Now().Add(patience); strings.Count(r.allServed(), "/echo") < maxAwaited; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not all are served")
		}
	}
	p := r.dial()
	p.send(post("/echo", "{}"))
	p.want(200, "{}")
	p.send(get("/hello"))
	p.want(200, "hello")
	large := strings.Repeat("x", 100<<10)
	begin, end := post("/echo", large)[:1000], post("/echo", large)[1000:]
	for range 3 {
		p.send(begin)
		p.send(end)
		p.want(200, large)
	}
	refused := 0
	for _, p := range peers {
		p.send("0\r\n\r\n")
		switch answer, text, err := p.answer(); {
		case err != nil:
			t.Fatal(err)
		case answer.StatusCode == 200 && text == "a":
		case answer.StatusCode == 400 && strings.HasPrefix(text, "unavailable: too many bodies"):
			p.wantEnd()
			refused++
		default:
			t.Fatalf("%d %s", answer.StatusCode, text)
		}
	}
	if refused == 0 || refused > 3 {
		t.Errorf("%d were refused", refused)
	}
	for range cap(r.waiting) { // more than may arrive at a time
		r.dial().send(get("/wait"))
	}
	for range cap(r.waiting) {
		<-r.waiting
	}
	close(r.wait)
}

// And so many bytes of them, of which those go that stand still.
func TestLargeBodies(t *testing.T) {
	r := newRig(t)
	part := strings.Repeat("x", awaitedBytes/2)
	var still []*peer
	for range 2 {
		p := r.dial()
		p.send(fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", awaitedBytes) + part[1:])
		still = append(still, p)
	}
	time.Sleep(10 * time.Millisecond) // in which they send nothing
	p := r.dial()
	p.send(post("/echo", "x"+part[:awaitedBytes/4]))
	p.want(200, "x")
	p.send(post("/echo", "x"+part[1:]))
	p.want(200, "x")
	refused := 0
	for _, p := range still {
		go func() { _, _ = p.conn.Write([]byte(part + "x")) }()
		answer, text, err := p.answer()
		must(t, err)
		if answer.StatusCode == 400 && strings.HasPrefix(text, "unavailable: too many bodies") {
			refused++
		}
	}
	if refused == 0 {
		t.Error("those that stood still were served")
	}
}

// Of requests that are not complete a loop keeps so many bytes; then the oldest go.
func TestSlowRequestsGo(t *testing.T) {
	r := newRig(t)
	head := big(12 << 10)
	head, end := head[:len(head)-10], head[len(head)-10:]
	var peers []*peer
	for range maxKept/len(head) + 50 {
		p := r.dial()
		p.send(head)
		peers = append(peers, p)
	}
	peers[0].want(408, "too many requests come slowly")
	peers[0].wantEnd()
	slices.Reverse(peers)
	for _, p := range peers[:100] {
		p.send(end)
		p.want(200, "hello")
	}
}

// Where the loops have not got round to read what has come in time, it is in time.
func TestRequestsThatWait(t *testing.T) {
	r := newRig(t)
	const waiting = 100
	var peers []*peer
	for range waiting {
		peers = append(peers, r.dial())
	}
	r.open(waiting)
	goes := make(chan struct{})
	for _, l := range r.reactor.Loops() {
		stands := make(chan struct{})
		l.Post(func() { close(stands); <-goes })
		<-stands
	}
	for _, p := range peers {
		p.send(get("/hello"))
	}
	r.clock.add(headTimeout)
	close(goes)
	for _, p := range peers {
		p.want(200, "hello")
	}
}

// allServed returns the requests that were served.
func (r *rig) allServed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.seen, ", ")
}

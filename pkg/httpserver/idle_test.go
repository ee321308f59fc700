package httpserver_test

import (
	"strings"
	"testing"
	"time"
)

const idleTimeout = 2 * time.Minute

// A connection whose answer was given on a loop waits there, and serves on as any
// other: also what was sent ahead, and with a head that comes in pieces.
func TestIdle(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	for range 3 {
		p.send(get("/parked"))
		p.want(200, "parked")
		p.send(get("/hello"))
		p.want(200, "hello")
	}
	p.send(strings.Repeat(get("/parked"), 4))
	for range 4 {
		p.want(200, "parked")
	}
	p.drip(get("/parked"))
	p.want(200, "parked")
	p.send(strings.Replace(handshake, "/up", upgradePath, 1))
	p.wantText(switched)

	q := r.dial()
	q.send(get("/parked") + "GET /hello HTTP/1.1\r\nHost : x\r\n\r\n")
	q.want(200, "parked")
	q.want(400, "a header is not")
	q.wantEnd()
}

// It waits for its next request as long as others do, and then goes without a
// word; a head that has begun has the time of any head.
func TestIdleEnds(t *testing.T) {
	r := newRig(t)
	silent, late, gone := r.dial(), r.dial(), r.dial()
	for _, p := range []*peer{silent, late, gone} {
		p.send(get("/parked"))
		p.want(200, "parked")
	}
	r.open(3)
	must(t, gone.conn.Close())
	r.open(2)
	r.clock.add(idleTimeout - headTimeout)
	r.turn()
	late.send("GET /hello")
	r.clock.add(headTimeout - 1)
	r.turn()
	r.open(2)
	r.clock.add(1)
	silent.wantEnd()
	r.clock.add(headTimeout)
	late.want(408, "the request's head did not come in time")
	late.wantEnd()
}

func TestIdleInAStop(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.send(get("/parked"))
	p.want(200, "parked")
	must(t, r.shutdown())
	p.wantEnd()
}

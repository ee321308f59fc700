package httpserver

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
)

// Bounds of the bodies that are being read and are not all there: of all requests
// together, so that those who send them slowly, and as many as they can, take no
// more memory than this.
const (
	maxAwaited      = 512
	maxAwaitedBytes = 32 << 20
)

// awaited is what is being read. It may be used concurrently.
type awaited struct {
	mu     sync.Mutex
	bodies map[*body]bool
	bytes  int
}

// watch has the request's body count until it has been read to its end. end is to
// be called behind the request. A small body does not count: mostly it is there as a
// whole (see maxWhole), and else it costs less than its connection.
func (a *awaited) watch(w http.ResponseWriter, r *http.Request) (end func()) {
	if r.Body == nil || r.Body == http.NoBody || 0 <= r.ContentLength && r.ContentLength <= maxWhole {
		return func() {}
	}
	b := &body{ReadCloser: r.Body, awaited: a, response: w, since: time.Now()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bodies == nil {
		a.bodies = map[*body]bool{}
	}
	if len(a.bodies) == maxAwaited {
		a.refuseSlowest()
	}
	a.bodies[b] = true
	r.Body = b
	return b.end
}

// refuseSlowest ends the body that has come most slowly: so crowds of slow ones, and
// large ones that stand still, keep nobody from being served. a.mu is held.
func (a *awaited) refuseSlowest() {
	now := time.Now()
	var slowest *body
	for b := range a.bodies {
		if slowest == nil || b.pace(now) < slowest.pace(now) {
			slowest = b
		}
	}
	a.forget(slowest)
	slowest.refused = true
	slowest.stop()
}

// forget counts b no more. a.mu is held.
func (a *awaited) forget(b *body) {
	if a.bodies[b] {
		delete(a.bodies, b)
		a.bytes -= b.bytes
	}
}

// A body is one of them. It is read by who serves the request; what is below is
// awaited.mu's.
type body struct {
	io.ReadCloser
	awaited  *awaited
	response http.ResponseWriter

	bytes   int
	since   time.Time // when its pace was last begun to be measured
	lately  int       // bytes since then
	refused bool
}

// errCrowded is what the reader of a body is told beyond the bounds, and its client.
var errCrowded = message.Errorf(message.Unavailable, "too many bodies are on their way here, and others come faster than this one; try again")

// stop has who reads the body wait no longer, nor net/http, which would wait for the
// rest of it, and so ends the connection.
func (b *body) stop() {
	_ = http.NewResponseController(b.response).SetReadDeadline(time.Now()) // it has come from net/http, and can
}

// Read reads on.
func (b *body) Read(p []byte) (n int, err error) {
	refused := b.came(0, false)
	if !refused {
		n, err = b.ReadCloser.Read(p)
		refused = b.came(n, errors.Is(err, io.EOF))
	}
	if refused {
		b.stop() // again, for its reader may have given itself more time
		return 0, errCrowded
	}
	if err != nil {
		b.end()
	}
	return n, err
}

// came counts n bytes, and reports whether b is refused. One that is all there is not.
func (b *body) came(n int, all bool) (refused bool) {
	a := b.awaited
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bodies[b] && !all {
		b.measure(n)
		a.bytes += n
		for a.bytes > maxAwaitedBytes {
			a.refuseSlowest()
		}
	}
	return b.refused && !all
}

// paceTime is over what time a pace is measured at least, where there is that.
const paceTime = time.Second

// measure counts n bytes that have come.
func (b *body) measure(n int) {
	b.bytes += n
	if now := time.Now(); now.Sub(b.since) > paceTime {
		b.since, b.lately = now, 0
	}
	b.lately += n
}

// pace returns how fast the body comes of late, in bytes a second. One that has just begun is fast.
func (b *body) pace(now time.Time) float64 {
	return float64(maxWhole+b.lately) / max(now.Sub(b.since), time.Microsecond).Seconds()
}

// end counts it no more.
func (b *body) end() {
	b.awaited.mu.Lock()
	defer b.awaited.mu.Unlock()
	b.awaited.forget(b)
}

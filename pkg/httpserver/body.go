package httpserver

import (
	"io"
	"net/http"
	"sync/atomic"
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
	bodies atomic.Int64
	bytes  atomic.Int64
}

// watch has the request's body count until it has been read to its end. end is to
// be called behind the request.
func (a *awaited) watch(w http.ResponseWriter, r *http.Request) (end func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	b := &body{ReadCloser: r.Body, awaited: a, response: w}
	b.refused = a.bodies.Add(1) > maxAwaited
	r.Body = b
	return b.end
}

// A body is one of them. It is owned by who serves the request.
type body struct {
	io.ReadCloser
	awaited  *awaited
	response http.ResponseWriter
	bytes    int64
	refused  bool
	over     bool
}

// errCrowded is what the reader of a body is told beyond the bounds, and its client.
var errCrowded = message.Errorf(message.Unavailable, "too many bodies are on their way here; try again")

// Read reads on.
func (b *body) Read(p []byte) (n int, err error) {
	if !b.refused {
		n, err = b.ReadCloser.Read(p)
	}
	if !b.over && n > 0 {
		b.bytes += int64(n)
		b.refused = b.awaited.bytes.Add(int64(n)) > maxAwaitedBytes && err == nil
	}
	if b.refused {
		// net/http would wait for the rest of it; so it ends the connection.
		_ = http.NewResponseController(b.response).SetReadDeadline(time.Now()) // it has come from net/http, and can
		err = errCrowded
	}
	if err != nil {
		b.end()
	}
	return n, err
}

// end counts it no more.
func (b *body) end() {
	if !b.over {
		b.over = true
		b.awaited.bodies.Add(-1)
		b.awaited.bytes.Add(-b.bytes)
	}
}

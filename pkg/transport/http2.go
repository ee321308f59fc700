package transport

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// streamBuffer is how much a stream holds of what its peer has not taken, until
// it says that it is blocked.
const streamBuffer = 64 << 10

// maxPiece is the largest frame of HTTP/2 where the peer has not said otherwise (RFC 9113,
// section 6.5.2).
const maxPiece = 16 << 10

// A streamed is the wire of a request over HTTP/2, whose connection it shares with
// others: it cannot be parked, and the request's own goroutine writes. What is
// written comes from the loop, and goes to the peer by run.
type streamed struct {
	w       http.ResponseWriter
	control *http.ResponseController
	server  *Server
	down    *down         // is the loop's, as all in it
	wake    chan struct{} // holds one token: there is something to do

	mu       sync.Mutex
	loop     *reactor.Loop
	status   int         // 0: the answer has not begun
	header   http.Header // with status; nil once it was written
	out      [][]byte
	pending  int       // bytes that the peer has not taken
	progress time.Time // when it last took some, or there was none
	blocked  bool      // was told so, and waits to be told otherwise
	finished bool
	aborted  bool
}

var _ wire = (*streamed)(nil)

func newStreamed(w http.ResponseWriter, d *down) *streamed {
	return &streamed{w: w, control: http.NewResponseController(w), server: d.part.server, down: d, loop: d.part.loop, wake: make(chan struct{}, 1)}
}

// run is the request's goroutine. It ends when the answer has been taken, or with
// the peer.
func (s *streamed) run(ctx context.Context) {
	d := s.down
	_ = s.control.SetReadDeadline(time.Time{}) // the server's own are for answers that end
	_ = s.control.SetWriteDeadline(time.Time{})
	s.loop.Post(func() {
		d.part.streams[d] = struct{}{}
		d.start(s)
	})
	defer s.lost()
	for s.flush() {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// flush writes what there is, and reports whether there will be more.
func (s *streamed) flush() bool {
	for {
		s.mu.Lock()
		piece, status, header := s.pieceLocked(), s.status, s.header
		done, aborted := s.finished && len(piece) == 0, s.aborted
		if len(piece) > 0 {
			s.header = nil
		}
		s.mu.Unlock()
		switch {
		case aborted:
			panic(http.ErrAbortHandler) // resets the stream
		case len(piece) == 0:
			return !done
		case !s.put(piece, status, header):
			return false
		}
		s.taken(size(piece))
	}
}

// pieceLocked takes out what is written next: a frame's worth, or a little less. mu is
// held.
func (s *streamed) pieceLocked() (piece [][]byte) {
	if len(s.out) > 0 && len(s.out[0]) > maxPiece {
		piece = [][]byte{s.out[0][:maxPiece]}
		s.out[0] = s.out[0][maxPiece:]
		return piece
	}
	n := 0
	for room := maxPiece; n < len(s.out) && len(s.out[n]) <= room; n++ {
		room -= len(s.out[n])
	}
	piece, s.out = s.out[:n], s.out[n:]
	if len(s.out) == 0 {
		s.out = nil
	}
	return piece
}

// put writes a piece to the peer, which has as long for it as it may take nothing on any
// transport. net/http measures no progress: what would be written under one deadline had
// that time in all.
func (s *streamed) put(piece [][]byte, status int, header http.Header) bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.server.stall))
	if header != nil {
		h := s.w.Header()
		clear(h)
		for k, v := range header {
			h[k] = v
		}
		s.w.WriteHeader(status)
	}
	for _, b := range piece {
		if _, err := s.w.Write(b); err != nil {
			return false
		}
	}
	if s.control.Flush() != nil {
		return false
	}
	// A deadline that passes ends a stream even where nothing is written.
	return s.control.SetWriteDeadline(time.Time{}) == nil
}

// taken notes that the peer has taken n bytes.
func (s *streamed) taken(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending -= n
	s.progress = s.server.now()
	if s.blocked && s.pending == 0 {
		s.blocked = false
		s.postLocked(func() { s.down.Writable(nil) })
	}
}

// lost tells the loop that nothing goes to the peer any more.
func (s *streamed) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborted = true
	s.postLocked(func() { s.down.Closed(nil, nil) })
}

// postLocked runs f on the loop that the wire is on by then. mu is held.
func (s *streamed) postLocked(f func()) {
	loop := s.loop
	loop.Post(func() {
		s.mu.Lock()
		moved := s.loop != loop
		if moved {
			s.postLocked(f)
		}
		s.mu.Unlock()
		if !moved {
			f()
		}
	})
}

func size(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

func (s *streamed) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // it has not looked yet
	}
}

// The wire, on its loop.

func (s *streamed) begin(status int, h http.Header) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.header = status, h
	return nil
}

func (s *streamed) write(bufs ...[]byte) (blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signal()
	if s.pending == 0 {
		s.progress = s.server.now()
	}
	s.out = append(s.out, bufs...)
	s.pending += size(bufs)
	s.blocked = s.blocked || s.pending > streamBuffer
	return s.blocked
}

func (s *streamed) finish(bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.signal()
}

func (s *streamed) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborted = true
	s.signal()
}

func (s *streamed) stalled() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == 0 {
		return time.Time{}
	}
	return s.progress
}

// move leaves the loop when what runs on it now has returned.
func (s *streamed) move(to *part, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postLocked(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.loop = to.loop
		to.loop.Post(then)
	})
}

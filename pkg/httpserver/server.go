package httpserver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// Bounds of a request and of a connection without one. They are the same on the
// loops and in net/http, which adds 4 KiB to the size that it is given.
const (
	maxHead       = 16 << 10
	headTimeout   = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	restAfter     = time.Second                  // of it with net/http
	bodyTimeout   = time.Minute                  // for the body to come
	answerTimeout = bodyTimeout + 10*time.Second // and the answer to be taken

	// Of HTTP/2, where answerTimeout ends a stream, which is of no use while the
	// connection takes nothing: for that to take a byte.
	stallTimeout = 30 * time.Second
)

// Options are what a server is made of. All are required.
type Options struct {
	Reactor *reactor.Reactor
	// Handler serves everything that is not a parked upgrade. A request has a
	// minute for its body and ten seconds more for the answer to be taken; who
	// needs other times sets deadlines with an [http.ResponseController]. The
	// header Connection may be added to, and is not to be replaced.
	Handler http.Handler
	// UpgradePath is where WebSocket handshakes are answered on the loop.
	UpgradePath string
	// Upgrade answers a handshake and returns the connection's next handler, or
	// says no, and the connection is closed.
	Upgrade func(c *reactor.Conn, head []byte) (next reactor.Handler, ok bool)
	Logger  logrus.FieldLogger
	// Now is the reactor's clock.
	Now func() time.Time

	stall time.Duration // for tests: another stallTimeout
	rest  time.Duration // for tests: another restAfter
}

// A Server serves HTTP/1.1 on any number of listeners, and HTTP/2 on those with
// TLS. New starts it, Shutdown
// ends it; its methods may be called from any goroutine but a loop's.
type Server struct {
	o        Options
	fronts   []*front // by loop
	http     *http.Server
	queue    *queue
	served   chan struct{} // closed when net/http accepts no more
	stopping atomic.Bool   // by Unlisten
	held     atomic.Int64  // connections that net/http has
	awaited  awaited

	mu        sync.Mutex
	listeners []net.Listener
}

// New returns a server that listens nowhere yet.
func New(o Options) (*Server, error) {
	if o.Reactor == nil || o.Handler == nil || o.Upgrade == nil || o.UpgradePath == "" || o.Logger == nil || o.Now == nil {
		return nil, errors.New("httpserver: all options are required")
	}
	s := &Server{o: o, queue: newQueue(len(o.Reactor.Loops())), served: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // on connections with TLS that ask for it
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), Protocols: protocols,
		ReadHeaderTimeout: headTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHead - 4096,
		HTTP2:          &http.HTTP2Config{WriteByteTimeout: cmp.Or(o.stall, stallTimeout)},
		// Else a request "OPTIONS *" would pass by serve, and with it the end of
		// a connection that is not followed any more.
		DisableGeneralOptionsHandler: true,
		ConnState:                    s.stateChanged,
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:                     log.New(debugWriter{o.Logger}, "", 0),
	}
	for _, l := range o.Reactor.Loops() {
		f := &front{server: s, loop: l}
		s.fronts = append(s.fronts, f)
		l.OnTick(f.tick)
	}
	go s.accept()
	return s, nil
}

func (s *Server) accept() {
	defer close(s.served)
	if err := s.http.Serve(s.queue); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		s.o.Logger.WithError(err).Error("the HTTP server has ended")
	}
}

// Protocols are what ListenTLS serves, as ALPN names them, the preferred one
// first.
func Protocols() []string { return []string{h2, "http/1.1"} }

const h2 = "h2"

// Listen accepts connections of l from now on. The reactor has a duplicate of
// the socket; l stays the caller's to close.
func (s *Server) Listen(l net.Listener) error {
	return s.listen(l, func() error {
		return s.o.Reactor.Listen(l, func(c *reactor.Conn) reactor.Handler { return s.fronts[c.Loop().Index()].open(c) })
	})
}

// ListenTLS is Listen for connections with TLS by config, which offers Protocols.
func (s *Server) ListenTLS(l net.Listener, config *tls.Config) error {
	return s.listen(l, func() error {
		return s.o.Reactor.ListenTLS(l, config, func(c *reactor.Conn) reactor.Handler {
			switch f := s.fronts[c.Loop().Index()]; {
			case f.ended: // its handshake took until now
				c.Close()
				return landing{}
			case c.Protocol() == h2:
				s.handOver(c)
				return nil
			default:
				return f.open(c)
			}
		})
	})
}

func (s *Server) listen(l net.Listener, begin func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return fmt.Errorf("accept on %s: %w", l.Addr(), http.ErrServerClosed)
	}
	if err := begin(); err != nil {
		return fmt.Errorf("accept on %s: %w", l.Addr(), err)
	}
	s.listeners = append(s.listeners, l)
	return nil
}

// Idle returns the handler of a connection that was taken over from net/http, and
// on which the answer to its request has been written: it waits for the next one
// where it is. It is nil, and the connection to be closed, if the server stops. It
// is called on the connection's loop. The connection is one whose last request was
// read to its end, by a length that its head gave.
func (s *Server) Idle(c *reactor.Conn) reactor.Handler {
	if s.stopping.Load() {
		return nil
	}
	return s.fronts[c.Loop().Index()].wait(c)
}

// Unlisten ends the accepting: connections wait in the sockets from now on, for
// who listens there next. Requests on those that there are go on being served,
// but nothing is upgraded. It is idempotent.
func (s *Server) Unlisten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping.Store(true)
	for _, l := range s.listeners {
		s.o.Reactor.Unlisten(l)
	}
	s.listeners = nil
}

// Shutdown ends the accepting, closes connections on which no request is
// complete, and waits until all others have been answered; when ctx ends, what is
// left is closed. Parked connections are not its own. It is idempotent. The
// reactor is to be closed after it.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Unlisten()
	err := s.endFronts(ctx)
	s.queue.Close()
	<-s.served
	// net/http drops a request that it reads after it was told to shut down.
	// These are no long wait: their heads are there.
	s.queue.arriving.Wait()
	if late := s.http.Shutdown(ctx); late != nil {
		err = errors.Join(err, fmt.Errorf("wait for requests: %w", late), s.http.Close())
	}
	return err
}

// endFronts closes what no request has come on. When it returns without an
// error, no loop hands over anything any more.
func (s *Server) endFronts(ctx context.Context) error {
	ended := make(chan struct{}, len(s.fronts))
	for i, l := range s.o.Reactor.Loops() {
		l.Post(func() { s.fronts[i].end(); ended <- struct{}{} })
	}
	for range s.fronts {
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("wait for the loops: %w", ctx.Err())
		}
	}
	return nil
}

// handOver gives net/http a connection, with all that was read of it.
func (s *Server) handOver(c *reactor.Conn) {
	loop, second := c.Loop(), c.Protocol() == h2
	nc, unread, err := c.Detach()
	switch {
	case err != nil:
		s.o.Logger.WithError(err).Warn("a connection could not be handed to the HTTP server")
		c.CloseNow()
	case second:
		s.takeSecond(nc)
	default:
		s.take(nc, unread, loop)
	}
}

// take gives net/http a connection whose first head is there.
func (s *Server) take(nc net.Conn, unread []byte, loop *reactor.Loop) {
	c := &conn{Conn: nc, server: s, unread: unread, loop: loop, arrived: sync.OnceFunc(func() { s.queue.arrived(loop) })}
	if !s.queue.put(c) {
		_ = nc.Close() // after Shutdown
	}
}

// takeSecond gives net/http a connection for HTTP/2, which has no request yet and
// may never have one: a shutdown does not wait for that, but tells the peer which
// requests were seen.
func (s *Server) takeSecond(nc net.Conn) {
	if !s.queue.put(nc) {
		_ = nc.Close() // after Shutdown
		return
	}
	s.queue.arriving.Done()
}

// manyHeld is with how many connections net/http is left none that rests.
const manyHeld = 256

// patience returns for how long a connection that has been answered stays with
// net/http.
func (s *Server) patience() time.Duration {
	if s.held.Load() > manyHeld {
		return 0
	}
	return cmp.Or(s.o.rest, restAfter)
}

// stateChanged is told by net/http what becomes of its connections.
func (s *Server) stateChanged(nc net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.held.Add(1)
	case http.StateHijacked, http.StateClosed:
		s.held.Add(-1)
	case http.StateIdle:
		if c, ok := nc.(*conn); ok {
			c.answered++
		}
	}
}

type connKey struct{}

// serve is what net/http calls for each request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer s.awaited.watch(w, r)()
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		s.o.Handler.ServeHTTP(w, r) // by HTTP/2, which cannot be read in two ways
		return
	}
	c.arrived()
	r.TLS = c.state()
	upgrade := len(r.Header["Upgrade"]) > 0
	last := upgrade || len(r.TransferEncoding) > 0 // as conn.follow has it
	if last {
		w.Header().Set("Connection", "close")
	}
	if upgrade && s.stopping.Load() {
		http.Error(w, stopping, http.StatusServiceUnavailable)
		return
	}
	s.o.Handler.ServeHTTP(w, r)
	if last && w.Header().Get("Connection") != "close" {
		// A request behind this one would be served without having been looked at.
		panic(http.ErrAbortHandler)
	}
}

// A debugWriter logs net/http's remarks about single connections.
type debugWriter struct{ log logrus.FieldLogger }

var _ io.Writer = debugWriter{}

// Write logs one line.
func (w debugWriter) Write(b []byte) (int, error) {
	w.log.Debug(string(bytes.TrimSpace(b)))
	return len(b), nil
}

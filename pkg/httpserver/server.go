package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// Bounds of a request's head and of a connection without a request.
const (
	maxHead     = 16 << 10
	headTimeout = 10 * time.Second
	idleTimeout = 2 * time.Minute
)

// Options are what a server is made of. All are required.
type Options struct {
	Reactor *reactor.Reactor
	// Handler serves everything that is not a parked upgrade.
	Handler http.Handler
	// UpgradePath is where WebSocket handshakes are answered on the loop.
	UpgradePath string
	// Upgrade answers a handshake and returns the connection's next handler, or
	// says no, and the connection is closed.
	Upgrade func(c *reactor.Conn, head []byte) (next reactor.Handler, ok bool)
	Logger  logrus.FieldLogger
	Now     func() time.Time
}

// A Server serves HTTP/1.1 on any number of listeners. New starts it, Shutdown
// ends it; its methods may be called from any goroutine.
type Server struct {
	o       Options
	http    *http.Server
	queue   *queue
	serving chan error
}

// New returns a server that listens nowhere yet.
func New(o Options) (*Server, error) {
	if o.Reactor == nil || o.Handler == nil || o.Upgrade == nil || o.UpgradePath == "" || o.Logger == nil || o.Now == nil {
		return nil, errors.New("httpserver: all options are required")
	}
	s := &Server{o: o, queue: newQueue(), serving: make(chan error, 1)}
	s.http = &http.Server{
		Handler:           o.Handler,
		ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead,
		ErrorLog: debugLog(o.Logger),
	}
	for _, l := range o.Reactor.Loops() {
		l.OnTick(func(now time.Time) { expire(l, now) })
	}
	go func() { s.serving <- s.http.Serve(s.queue) }()
	return s, nil
}

// Listen accepts connections of l from now on. The reactor has a duplicate of
// the socket; l stays the caller's to close.
func (s *Server) Listen(l net.Listener) error {
	err := s.o.Reactor.Listen(l, func(*reactor.Conn) reactor.Handler { return &opening{server: s, since: s.o.Now()} })
	if err != nil {
		return fmt.Errorf("accept on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown waits for the requests that net/http has, until ctx ends, and closes
// its connections. Parked connections are not its own; that nothing more is
// accepted is up to reactor.Unlisten.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	s.queue.Close()
	if served := <-s.serving; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

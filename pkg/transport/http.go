package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/reactor"
)

// maxCommands bounds a body of commands, beside a payload of the largest size.
const maxCommands = 1 << 20

// A route is how one path is served.
type route struct {
	methods []string
	serve   func(*Server, http.ResponseWriter, *http.Request)
}

func routeOf(path string) (route, bool) {
	switch path {
	case StreamPath:
		return route{[]string{http.MethodPost}, (*Server).serveStream}, true
	case SSEPath:
		return route{[]string{http.MethodGet, http.MethodPost}, (*Server).serveSSE}, true
	case PollPath:
		return route{[]string{http.MethodPost}, (*Server).servePoll}, true
	case SendPath:
		return route{[]string{http.MethodPost}, (*Server).serveSend}, true
	}
	return route{}, false
}

// Serves reports whether a path is one of the transports'.
func (s *Server) Serves(path string) bool {
	_, ok := routeOf(path)
	return ok || path == Path
}

// ServeHTTP serves a request for one of the transports.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, ok := routeOf(r.URL.Path)
	if !ok {
		s.serveWebSocket(w, r)
		return
	}
	serve, err := s.gate.Admit(w, r, origin.Resource{Methods: route.methods, Headers: mayHave})
	switch {
	case err != nil:
		s.fail(w, r, err)
	case !serve: // it has been answered
	case !slices.Contains(route.methods, r.Method):
		w.Header().Set("Allow", strings.Join(route.methods, ", "))
		reply(w, http.StatusMethodNotAllowed, message.Errorf(message.BadRequest, "the method of %s is %s", r.URL.Path, strings.Join(route.methods, " or ")))
	default:
		route.serve(s, w, r)
	}
}

// mayHave lists the headers that pages of other origins may send.
const mayHave = "Authorization, Content-Type, Last-Event-ID, " + sessionHeader + ", " + secretHeader

// A proof is who has sent a request.
type proof struct {
	brings *auth.Credentials // nil: nothing
	who    *broker.Who
	asOf   uint64 // rechecks, when it began to be proven
	page   string // see origin.Gate
}

// identify proves who has sent a request. It may block. Only an EventSource, which
// can set no header, may bring a token in its URL.
func (s *Server) identify(r *http.Request) (p proof, err error) {
	p.page = s.gate.PageOf(r)
	c, err := auth.FromRequest(r, TokenOf)
	if err != nil {
		return p, err
	}
	if token := r.URL.Query().Get("token"); token != "" && r.Method == http.MethodGet {
		c = auth.Credentials{Token: token}
	}
	if c.Empty() {
		return p, nil
	}
	c.From = s.gate.SourceOf(r).Client
	p.brings, p.asOf = &c, s.sessions.Rechecks()
	id, err := s.broker.Authenticate(r.Context(), c)
	p.who = broker.NewWho(id)
	return p, err
}

// readCommands reads a body, which has one command at least.
func (s *Server) readCommands(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := int64(maxCommands + s.wire.MaxMessage)
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, message.Errorf(message.TooLarge, "the body has more than %d bytes (1 MiB and session.max_message); send several", limit)
	}
	if e, ok := errors.AsType[*message.Error](err); ok {
		return nil, e // the server's own, see httpserver
	}
	if err != nil {
		return nil, message.Errorf(message.BadRequest, "the body could not be read to its end").Because(err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, message.Errorf(message.BadRequest, "the body is empty; send one command a line")
	}
	return text, nil
}

// fail answers a request with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := message.AsError(err)
	if e.Cause != nil && e.Code == message.Internal {
		s.log.WithError(err).Error("a request failed")
	}
	auth.LogRefused(s.log, s.gate.SourceOf(r).Client, e)
	if e.Code == message.Unauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="orbitd"`)
	}
	protocol.SetRetryAfter(w.Header(), e)
	reply(w, protocol.Status(e.Code), e)
}

func reply(w http.ResponseWriter, status int, e *message.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(protocol.AppendError(nil, 0, e), '\n')) // a peer that has gone does not read it
}

// carry takes the request's connection to one of the loops, where d begins. One
// that is shared with other requests stays where it is, with a goroutine.
func (s *Server) carry(w http.ResponseWriter, r *http.Request, p proof, d *down) {
	d.exchange = exchange{carrier: d, arrival: &arrival{proof: p, began: s.now(), from: s.gate.SourceOf(r).Client}}
	d.header = w.Header().Clone()
	d.part = s.parts[rand.N(len(s.parts))]
	nc, rw, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		s.open.Add(1)
		newStreamed(w, d).run(r.Context())
		return
	}
	if err != nil {
		s.fail(w, r, fmt.Errorf("take the connection from the HTTP server: %w", err))
		return
	}
	rest, _ := rw.Reader.Peek(rw.Reader.Buffered())
	s.open.Add(1)
	conn, err := d.part.loop.Adopt(nc, rest, landing{d})
	if err != nil {
		s.open.Add(-1)
		if !errors.Is(err, reactor.ErrShutdown) {
			s.log.WithError(err).Warn("a connection could not be parked")
		}
		return
	}
	d.part.loop.Post(func() {
		conn.SetHandler(d)
		conn.SetUserTimeout(stallTimeout)
		d.start(parked{conn, s})
	})
}

// landing is the handler of a connection that has been adopted and has not begun.
type landing struct{ down *down }

func (landing) Data(*reactor.Conn, []byte) (consumed int) { return 0 }
func (landing) Writable(*reactor.Conn)                    {}
func (l landing) Closed(c *reactor.Conn, err error)       { l.down.Closed(c, err) }

// A parked is the wire of a request over HTTP/1: the connection is the answer's
// alone.
type parked struct {
	conn   *reactor.Conn
	server *Server
}

// begin writes the head. Without a length the body ends with the connection, as
// HTTP/1.0 and every proxy know it; an answer that goes on is nothing but frames
// that it shares with others.
func (p parked) begin(status int, h http.Header) []byte {
	h.Set("Date", p.server.now().UTC().Format(http.TimeFormat))
	if h.Get("Content-Length") == "" {
		h.Set("Connection", "close")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.Write(&b) // a builder takes all
	b.WriteString("\r\n")
	return []byte(b.String())
}

func (p parked) write(bufs ...[]byte) (blocked bool) { return p.conn.Write(bufs...) }
func (p parked) abort()                              { p.conn.CloseNow() }
func (p parked) stalled() time.Time                  { return p.conn.Stalled() }

func (p parked) finish(keep bool) {
	d, ok := p.conn.Handler().(*down)
	if ok && keep && p.server.idle != nil {
		if next := p.server.idle(p.conn); next != nil {
			d.leave()
			p.conn.SetHandler(next)
			return
		}
	}
	p.conn.Close()
}

func (p parked) move(to *part, then func()) {
	p.conn.Move(to.loop, func(*reactor.Conn) { then() })
}

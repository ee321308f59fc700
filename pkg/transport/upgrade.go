package transport

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// Path is where WebSocket connections begin.
const Path = "/v1/ws"

// Subprotocol is what a client that offers any must offer.
const Subprotocol = "orbit.v1"

// Cookie is the name of the cookie that carries a browser's token.
const Cookie = "orbit_token"

// maxHead bounds a handshake's header lines, as the HTTP server does.
const maxHead = 16 << 10

// A handshake gathers what a request says that decides about it.
type handshake struct {
	server             *Server
	origin, host       string
	offered, negotiate bool
	cookies            []string
}

// Upgrade answers a WebSocket handshake that came on conn: head is the whole
// request head. It runs on conn's loop. If the handshake is accepted it returns
// the connection's next handler; else the answer has said why, and the caller
// closes the connection.
func (s *Server) Upgrade(conn *reactor.Conn, head []byte) (next reactor.Handler, ok bool) {
	var answer bytes.Buffer
	h := handshake{server: s}
	_, err := h.upgrader().Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(head), &answer})
	conn.Write(answer.Bytes())
	if err != nil {
		return nil, false
	}
	return s.parts[conn.Loop().Index()].newWebsocket(conn, h.token()), true
}

func (h *handshake) upgrader() ws.Upgrader {
	return ws.Upgrader{
		ReadBufferSize: maxHead,
		Protocol: func(name []byte) bool {
			h.offered = true
			h.negotiate = string(name) == Subprotocol
			return h.negotiate
		},
		OnHost: func(host []byte) error {
			h.host = string(host)
			return nil
		},
		OnHeader: func(key, value []byte) error {
			switch {
			case bytes.EqualFold(key, []byte("Origin")):
				h.origin = string(value)
			case bytes.EqualFold(key, []byte("Cookie")):
				h.cookies = append(h.cookies, string(value))
			}
			return nil
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) { return nil, h.judge() },
	}
}

var (
	errOrigin = ws.RejectConnectionError(ws.RejectionStatus(http.StatusForbidden),
		ws.RejectionReason("this page's origin may not connect; add it to server.origins\n"))
	errSubprotocol = ws.RejectConnectionError(ws.RejectionStatus(http.StatusBadRequest),
		ws.RejectionReason("the subprotocol of "+Path+" is "+Subprotocol+"\n"))
)

func (h *handshake) judge() error {
	switch {
	case h.origin != "" && !h.server.OriginAllowed(h.origin, h.host):
		return errOrigin
	case h.offered && !h.negotiate:
		return errSubprotocol
	}
	return nil
}

// token returns the cookie's token, but only to a browser whose page was
// allowed: a request without Origin proves nothing about who made it.
func (h *handshake) token() string {
	if h.origin == "" {
		return ""
	}
	r := http.Request{Header: http.Header{"Cookie": h.cookies}}
	return TokenOf(&r)
}

// TokenOf returns the token in a request's cookie, or nothing.
func TokenOf(r *http.Request) string {
	c, err := r.Cookie(Cookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// ServeHTTP upgrades a connection that net/http has, and parks it: the way of
// requests behind others on a kept-alive connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin != "" && !s.OriginAllowed(origin, r.Host) {
		http.Error(w, "this page's origin may not connect; add it to server.origins", http.StatusForbidden)
		return
	}
	token := ""
	if origin != "" {
		token = TokenOf(r)
	}
	upgrader := ws.HTTPUpgrader{Protocol: func(name string) bool { return name == Subprotocol }}
	conn, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		return // the upgrader has answered
	}
	prefix, _ := rw.Reader.Peek(rw.Reader.Buffered())
	if err := s.adopt(conn, prefix, token); err != nil && !errors.Is(err, reactor.ErrShutdown) {
		s.log.WithError(err).Warn("an upgraded connection could not be parked")
	}
}

// adopt parks an upgraded connection on one of the loops.
func (s *Server) adopt(nc net.Conn, prefix []byte, token string) error {
	p := s.parts[rand.N(len(s.parts))]
	c, err := p.loop.Adopt(nc, prefix, arriving{})
	if err != nil {
		return err
	}
	p.loop.Post(func() { c.SetHandler(p.newWebsocket(c, token)) })
	return nil
}

// arriving is the handler of a connection that has just been adopted, until its
// own is there.
type arriving struct{}

func (arriving) Data(*reactor.Conn, []byte) int { return 0 }
func (arriving) Writable(*reactor.Conn)         {}
func (arriving) Closed(*reactor.Conn, error)    {}

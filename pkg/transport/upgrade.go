package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/origin"
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

// A Handshake is what another protocol learns of a WebSocket's request: the answer,
// which is still to be sent, what the request brings to identify its client, the origin
// of its page as broker.Who.On takes it, and the address of its client.
type Handshake struct {
	Answer []byte
	Brings auth.Credentials
	Page   string
	Client netip.Addr
}

// A handshake gathers what a request says that decides about it.
type handshake struct {
	server       *Server
	peer         netip.Addr
	secure       bool // the connection has TLS
	source       origin.Source
	origin, host string
	offered      bool   // some subprotocol is
	agreed       string // the one that is spoken
	cookies      []string
	forwarded    http.Header // what proxies say of the client
	extensions   string      // those that are agreed on, if it is orbit.v1 that is spoken
}

// Upgrade answers a WebSocket handshake that came on conn: head is the whole
// request head. It runs on conn's loop. If the handshake is accepted it returns
// the connection's next handler; else the answer has said why, and the caller
// closes the connection.
func (s *Server) Upgrade(conn *reactor.Conn, head []byte) (next reactor.Handler, ok bool) {
	p := s.parts[conn.Loop().Index()]
	if p.drained != nil {
		conn.Write(declined(errStopping))
		return nil, false
	}
	var answer bytes.Buffer
	h := handshake{server: s, peer: conn.RemoteAddr().Addr(), secure: conn.Secured(), forwarded: http.Header{}}
	_, err := h.upgrader().Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(head), &answer})
	if err != nil {
		conn.Write(declined(err))
		return nil, false
	}
	page := s.gate.Page(h.origin, h.host, h.source.Secure)
	brings := auth.Credentials{Token: h.token()}
	if brings.Token == "" {
		brings.Certificates = conn.Certificates()
	}
	if other := s.others[h.agreed]; other != nil {
		return other(conn, Handshake{answer.Bytes(), brings, page, h.source.Client}), true
	}
	w := p.newWebsocket(conn, brings, page, h.source.Client)
	w.deflates = h.extensions != ""
	w.send(answer.Bytes()) // in one write with the replies to what stands behind the handshake
	return w, true
}

// declined is the answer to a handshake that failed. It is the connection's last:
// whoever asked for a WebSocket has no other request for it, and may have sent
// frames already.
func declined(why error) []byte {
	status := http.StatusBadRequest
	if refusal, ok := errors.AsType[*ws.ConnectionRejectedError](why); ok {
		status = refusal.StatusCode()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nConnection: close\r\nCache-Control: no-store\r\n", status, http.StatusText(status))
	if status == http.StatusUpgradeRequired { // RFC 6455, section 4.2.2, and RFC 9110, section 15.5.22
		b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
	}
	text := strings.TrimSpace(why.Error()) + "\n"
	fmt.Fprintf(&b, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	return b.Bytes()
}

func (h *handshake) upgrader() ws.Upgrader {
	return ws.Upgrader{
		ReadBufferSize: maxHead,
		Protocol: func(name []byte) bool {
			h.offered = true
			if _, other := h.server.others[string(name)]; other || string(name) == Subprotocol {
				h.agreed = string(name)
			}
			return h.agreed != ""
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
			case bytes.EqualFold(key, []byte("Forwarded")), len(key) > 12 && bytes.EqualFold(key[:12], []byte("X-Forwarded-")):
				h.forwarded.Add(string(key), string(value))
			}
			return nil
		},
		Negotiate: h.extension,
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if err := h.judge(); err != nil {
				return nil, err
			}
			return h.extensionHeader(), nil
		},
	}
}

var (
	errHost = ws.RejectConnectionError(ws.RejectionStatus(http.StatusMisdirectedRequest),
		ws.RejectionReason("this server is not called by that name (Host); add it to server.hosts"))
	errOrigin = ws.RejectConnectionError(ws.RejectionStatus(http.StatusForbidden),
		ws.RejectionReason("this page's origin may not connect; add it to server.origins"))
	errSubprotocol = ws.RejectConnectionError(ws.RejectionStatus(http.StatusBadRequest),
		ws.RejectionReason("the subprotocol of "+Path+" is "+Subprotocol))
	errStopping = ws.RejectConnectionError(ws.RejectionStatus(http.StatusServiceUnavailable),
		ws.RejectionReason("the server is stopping"))
)

func (h *handshake) judge() error {
	gate := h.server.gate
	h.source = gate.Source(h.peer, h.secure, h.forwarded)
	switch {
	case !gate.HostAllowed(h.host):
		return errHost
	case h.origin != "" && !gate.Allowed(h.origin, h.host, h.source.Secure):
		return errOrigin
	case h.offered && h.agreed == "":
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

// serveWebSocket takes a handshake from net/http to a loop, which answers it as one
// that came there: the way of a request behind others on a connection, and of one
// that is written in some unusual way.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "a WebSocket begins with GET", http.StatusMethodNotAllowed)
	case r.ProtoMajor > 1: // which has no Upgrade, and forbids its headers (RFC 9113, section 8.2.2)
		http.Error(w, Path+" is for WebSockets, over HTTP/1.1", http.StatusBadRequest)
	case !r.ProtoAtLeast(1, 1) || !lists(r.Header["Upgrade"], "websocket") || !lists(r.Header["Connection"], "upgrade"):
		w.Header().Add("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, Path+" is for WebSockets", http.StatusUpgradeRequired)
	case r.ContentLength != 0:
		http.Error(w, "a WebSocket's handshake has no body", http.StatusBadRequest)
	default:
		s.adopt(w, r)
	}
}

// lists reports whether the lists in a header's lines have an item. Products
// with versions, such as "websocket/13", are others (RFC 9110, section 7.8).
func lists(lines []string, item string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), item) {
				return true
			}
		}
	}
	return false
}

// adopt takes a connection to one of the loops, with the handshake before all
// that followed it.
func (s *Server) adopt(w http.ResponseWriter, r *http.Request) {
	head := plainHead(r)
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.log.WithError(err).Error("a connection could not be taken from the HTTP server")
		http.Error(w, "this connection cannot be upgraded", http.StatusInternalServerError)
		return
	}
	rest, _ := rw.Reader.Peek(rw.Reader.Buffered())
	_, err = s.parts[rand.N(len(s.parts))].loop.Adopt(nc, slices.Concat(head, rest), arriving{s, len(head)})
	if err != nil && !errors.Is(err, reactor.ErrShutdown) {
		s.log.WithError(err).Warn("a connection could not be parked")
	}
}

// plainHead writes a handshake's head in the form that Upgrade reads. Nothing in
// r has line ends: net/http has checked.
func plainHead(r *http.Request) []byte {
	h := r.Header.Clone()
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", Path, r.Host)
	_ = h.Write(&b) // a buffer takes all
	b.WriteString("\r\n")
	return b.Bytes()
}

// arriving is the handler of a connection that has just been adopted, with a
// handshake's head before everything else.
type arriving struct {
	server *Server
	head   int
}

// Data answers the handshake.
func (a arriving) Data(c *reactor.Conn, b []byte) (consumed int) {
	if next, ok := a.server.Upgrade(c, b[:a.head]); ok {
		c.SetHandler(next)
	} else {
		c.Close()
	}
	return a.head
}

// Writable has nothing to go on with.
func (arriving) Writable(*reactor.Conn) {}

// Closed has nothing to clean up.
func (arriving) Closed(*reactor.Conn, error) {}

package httpserver

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// An opening is the handler of a connection until its first request head is
// there. It is owned by the connection's loop.
type opening struct {
	server *Server
	since  time.Time
}

// Data waits for a whole head and sends the connection on its way.
func (o *opening) Data(c *reactor.Conn, b []byte) (consumed int) {
	end := bytes.Index(b[:min(len(b), maxHead)], []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(b) < maxHead:
		return 0
	case end < 0:
		refuse(c, http.StatusRequestHeaderFieldsTooLarge, "the request's head is too large")
		return len(b)
	}
	head := b[:end+4]
	if !o.isUpgrade(head) {
		o.handOver(c)
		return 0
	}
	next, ok := o.server.o.Upgrade(c, head)
	if !ok {
		c.Close()
		return len(b)
	}
	c.SetHandler(next)
	return len(head)
}

// Writable has nothing to go on with.
func (o *opening) Writable(*reactor.Conn) {}

// Closed has nothing to clean up.
func (o *opening) Closed(*reactor.Conn, error) {}

// isUpgrade reports whether a head is a GET on the upgrade path that asks for a
// WebSocket. What is not certain goes to net/http.
func (o *opening) isUpgrade(head []byte) bool {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	target, ok := bytes.CutPrefix(line, []byte("GET "))
	if !ok {
		return false
	}
	target, ok = bytes.CutSuffix(target, []byte(" HTTP/1.1"))
	if path, _, _ := bytes.Cut(target, []byte("?")); !ok || string(path) != o.server.o.UpgradePath {
		return false
	}
	for line := range bytes.SplitSeq(rest, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Upgrade")) {
			return bytes.EqualFold(bytes.TrimSpace(value), []byte("websocket"))
		}
	}
	return false
}

// handOver gives the connection to net/http, with all that was read of it.
func (o *opening) handOver(c *reactor.Conn) {
	nc, prefix, err := c.Detach()
	if err != nil {
		o.server.o.Logger.WithError(err).Warn("a connection could not be handed to the HTTP server")
		c.CloseNow()
		return
	}
	if !o.server.queue.put(withPrefix(nc, prefix)) {
		nc.Close()
	}
}

// expire ends the connections of a loop that have not completed a head in time.
func expire(l *reactor.Loop, now time.Time) {
	for c := range l.All() {
		if o, ok := c.Handler().(*opening); ok && now.Sub(o.since) >= headTimeout {
			refuse(c, http.StatusRequestTimeout, "no complete request in time")
		}
	}
}

// refuse answers what cannot be handed to net/http, and closes.
func refuse(c *reactor.Conn, status int, why string) {
	c.Write(fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), len(why)+1, why))
	c.Close()
}

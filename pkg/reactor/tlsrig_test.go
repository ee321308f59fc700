package reactor_test

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

// A pair is what both sides need for TLS.
type pair struct{ server, client *tls.Config }

// newPair returns a certificate that the client trusts.
var newPair = sync.OnceValue(func() pair {
	a := tlstest.NewAuthority()
	return pair{
		server: &tls.Config{Certificates: []tls.Certificate{a.Certificate()}, NextProtos: []string{"h2", "http/1.1"}},
		client: a.Client(),
	}
})

// clientOf returns the client's side for one version of TLS.
func clientOf(version uint16) *tls.Config {
	c := newPair().client.Clone()
	c.MinVersion, c.MaxVersion = version, version
	return c
}

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// listenTLS is listen with TLS.
func listenTLS(t testing.TB, r *reactor.Reactor, accept func(*reactor.Conn) reactor.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := r.ListenTLS(l, newPair().server, accept); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// secure does the client's handshake over nc.
func secure(t testing.TB, nc net.Conn, c *tls.Config) *tls.Conn {
	t.Helper()
	tc := tls.Client(nc, c)
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return tc
}

// A dribble sends each write byte by byte, each in a segment of its own.
type dribble struct{ net.Conn }

func (d dribble) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		_, err = d.Conn.Write(p[n : n+1])
		n++
	}
	return n, err
}

package reactor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A pair is what both sides need for TLS.
type pair struct{ server, client *tls.Config }

// newPair makes a certificate that the client trusts.
var newPair = sync.OnceValue(func() pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return pair{
		server: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}},
		client: &tls.Config{RootCAs: roots, ServerName: "localhost"},
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

package tlsconf

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"
)

// An Identity is a certificate with its chain and key. It is never changed once
// loaded, and shared by all connections.
type Identity struct {
	certificate tls.Certificate
	files       []file // the certificate's and the key's, as they were before they were read
}

// Load reads an identity from files in PEM form: the certificate with its chain
// behind it, and the key, which has to be the certificate's. They may be one file.
func Load(certificate, key string) (*Identity, error) {
	files := []file{look(certificate), look(key)}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	return &Identity{pair, files}, nil
}

// Names returns the host names that the certificate is for.
func (i *Identity) Names() []string { return i.certificate.Leaf.DNSNames }

// Until returns when the certificate ends. If it is not valid at now, that is an
// error: clients refuse it.
func (i *Identity) Until(now time.Time) (time.Time, error) {
	leaf := i.certificate.Leaf
	switch {
	case now.Before(leaf.NotBefore):
		return leaf.NotAfter, fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return leaf.NotAfter, fmt.Errorf("the certificate ended at %s", leaf.NotAfter.Format(time.RFC3339))
	}
	return leaf.NotAfter, nil
}

// A Server is the server's side of handshakes: each is done with the identity
// that is in force when it begins. Its methods may be called from any goroutine.
type Server struct{ identity atomic.Pointer[Identity] }

// NewServer returns a server with an identity.
func NewServer(i *Identity) *Server {
	s := &Server{}
	s.Use(i)
	return s
}

// Use puts an identity in force for the handshakes that begin from now on.
// Connections that there are go on.
func (s *Server) Use(i *Identity) { s.identity.Store(i) }

// Config returns how handshakes are done by servers of the protocols, as ALPN
// names them (RFC 7301), the preferred one first. It stays the same when another
// identity is put in force; so do the keys of session tickets, which crypto/tls
// makes and replaces every day.
func (s *Server) Config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: suites(),
		NextProtos:   protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &s.identity.Load().certificate, nil
		},
	}
}

// suites are those of TLS 1.2 with forward secrecy and authenticated encryption;
// those of 1.3 all have both, and are not chosen.
func suites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

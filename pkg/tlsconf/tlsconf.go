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

// File returns the path that the certificate was read from.
func (i *Identity) File() string { return i.files[0].path }

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

// A Set is what a server is in handshakes: who, and whom it believes. It is never
// changed once in use.
type Set struct {
	// Identities are tried in their order: the first that has the name which a client
	// asks for (RFC 6066, section 3), and of those one that the client can use. Who asks
	// for none of them, or by none, is shown the first.
	Identities []*Identity
	Clients    *Clients // nil: no client is asked for a certificate
}

// A Server is the server's side of handshakes: each is done with the set that is in
// force when it begins. Its methods may be called from any goroutine.
type Server struct {
	set atomic.Pointer[Set]
	now func() time.Time
}

// NewServer returns a server. now is the clock by which clients' certificates are
// judged; nil: time.Now.
func NewServer(set Set, now func() time.Time) *Server {
	if now == nil {
		now = time.Now
	}
	s := &Server{now: now}
	s.Use(set)
	return s
}

// Use puts a set in force for the handshakes that begin from now on. Connections
// that there are go on.
func (s *Server) Use(set Set) { s.set.Store(&set) }

// Clients returns whom the set in force believes; nil: nobody is asked.
func (s *Server) Clients() *Clients { return s.set.Load().Clients }

// Identities returns those in force.
func (s *Server) Identities() []*Identity { return s.set.Load().Identities }

// identity returns who the server is to a client.
func (s *Server) identity(hello *tls.ClientHelloInfo) *Identity {
	all := s.set.Load().Identities
	var named *Identity
	for _, i := range all {
		if hello.ServerName == "" || i.certificate.Leaf.VerifyHostname(hello.ServerName) != nil {
			continue
		}
		if hello.SupportsCertificate(&i.certificate) == nil {
			return i
		}
		if named == nil {
			named = i
		}
	}
	if named == nil {
		named = all[0]
	}
	return named
}

// Config returns how handshakes are done by servers of the protocols, as ALPN
// names them (RFC 7301), the preferred one first. It stays the same when another
// set is put in force; so do the keys of session tickets, which crypto/tls makes and
// replaces every day.
//
// Where a client is asked for its certificate, crypto/tls believes any, and the set in
// force does not: see Clients. A connection whose handshake is done has a good one or
// none.
func (s *Server) Config(protocols ...string) *tls.Config {
	plain := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: suites(),
		NextProtos:   protocols,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &s.identity(hello).certificate, nil
		},
	}
	asking := plain.Clone()
	asking.ClientAuth = tls.RequestClientCert
	asking.VerifyConnection = func(state tls.ConnectionState) error {
		clients := s.Clients()
		if clients == nil { // a reload came in between
			return errNoCertificate
		}
		return clients.verify(state.PeerCertificates, s.now())
	}
	plain.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if s.Clients() != nil {
			return asking, nil
		}
		return nil, nil // plain
	}
	return plain
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

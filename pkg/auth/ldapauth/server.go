package ldapauth

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	ldap "github.com/go-ldap/ldap/v3"
	"github.com/sirupsen/logrus"
)

// A server that has failed is left alone for a second, then for twice as long
// each time, up to the longest.
const (
	firstPause   = time.Second
	longestPause = 15 * time.Second
)

// A server is one of a directory's. It may be used concurrently.
type server struct {
	url, host        string
	network, address string
	tls              *tls.Config // nil: never
	startTLS         bool        // else TLS from the first byte

	mu       sync.Mutex
	failures int
	until    time.Time // left alone until then
	why      error     // how it has failed last
}

// newServer reads a URL (RFC 4516; of its parts only scheme and host).
func newServer(text string, o *Options) (*server, error) {
	s := &server{url: text}
	if path, ok := strings.CutPrefix(text, "ldapi://"); ok {
		path, err := url.PathUnescape(strings.TrimSuffix(path, "/"))
		if err != nil || path == "" {
			return nil, fmt.Errorf("%q is not the URL of a socket; write ldapi://%%2Frun%%2Fslapd%%2Fldapi", text)
		}
		s.network, s.address = "unix", path
		return s, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
		return nil, fmt.Errorf("%q is not the URL of a directory", text)
	}
	s.host = strings.ToLower(u.Hostname())
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": ldap.DefaultLdapPort, "ldaps": ldap.DefaultLdapsPort}[u.Scheme]
	}
	s.network, s.address = "tcp", net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == "ldaps" || !o.PlainText {
		s.tls, s.startTLS = o.TLS.Clone(), u.Scheme == "ldap"
		s.tls.MinVersion = max(s.tls.MinVersion, tls.VersionTLS12)
		setDefault(&s.tls.ServerName, u.Hostname())
	}
	return s, nil
}

// connect returns a connection that nobody has bound on yet. Where TLS is wanted
// there is TLS, or no connection.
func (s *server) connect(ctx context.Context, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no connection within %s (dial_timeout)", timeout))
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	wire, err := s.secure(ctx, raw)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	c := &conn{raw: raw, wire: &bounded{Conn: wire}, server: s}
	c.wire.renew()
	c.ldap = ldap.NewConn(c.wire, s.tls != nil)
	c.ldap.Start()
	return c, nil
}

// causeOf returns why ctx has ended, if it has, else err.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// secure returns raw with TLS above it, or raw where none is wanted.
func (s *server) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if s.tls == nil {
		return raw, nil
	}
	if s.startTLS {
		if err := askForTLS(raw); err != nil {
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	secured := tls.Client(raw, s.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, nil
}

// askForTLS makes the request of RFC 4511, section 4.14. Of what comes it reads the
// answer and no byte more: what stands behind it must be TLS.
func askForTLS(raw net.Conn) error {
	const startTLS = "1.3.6.1.4.1.1466.20037"
	request := ber.NewSequence("")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
	operation := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "")
	operation.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, startTLS, ""))
	request.AppendChild(operation)
	if _, err := raw.Write(request.Bytes()); err != nil {
		return err
	}
	answer := &bounded{Conn: raw}
	answer.left.Store(maxRefusal)
	packet, err := ber.ReadPacket(answer)
	if err != nil {
		return err
	}
	return ldap.GetLDAPError(packet)
}

// maxRefusal bounds the answer to the request for TLS, in bytes.
const maxRefusal = 64 << 10

// rests reports for how long the server is still left alone, and why.
func (s *server) rests(now time.Time) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.until.Sub(now)), s.why
}

// failed notes that the server did not do what it is there for.
func (s *server) failed(err error, now time.Time, log logrus.FieldLogger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := min(firstPause<<min(s.failures, 10), longestPause)
	s.failures++
	s.until, s.why = now.Add(pause), err
	log.WithError(err).WithFields(logrus.Fields{"server": s.url, "failures": s.failures, "pause": pause.String()}).Warn("a directory server has failed")
}

func (s *server) worked(log logrus.FieldLogger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 {
		log.WithField("server", s.url).Info("a directory server works again")
	}
	s.failures, s.until = 0, time.Time{}
}

package ldapauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

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
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	wire := &bounded{Conn: raw}
	wire.left.Store(maxAnswer)
	c := &conn{wire: wire, server: s}
	if err := c.start(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) start(ctx context.Context) error {
	if c.server.tls == nil || c.server.startTLS {
		c.ldap = ldap.NewConn(c.wire, false)
		c.ldap.Start()
		if c.server.tls == nil {
			return nil
		}
		return c.startTLS(ctx)
	}
	secured := tls.Client(c.wire, c.server.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	c.ldap = ldap.NewConn(secured, true)
	c.ldap.Start()
	return nil
}

func (c *conn) startTLS(ctx context.Context) error {
	err := c.do(ctx, func() error { return c.ldap.StartTLS(c.server.tls) })
	if err != nil {
		return fmt.Errorf("StartTLS: %w", err)
	}
	if _, secured := c.ldap.TLSConnectionState(); !secured {
		return errors.New("StartTLS: the connection is not secured")
	}
	return nil
}

// rests reports for how long the server is still left alone.
func (s *server) rests(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.until.Sub(now))
}

// failed notes that the server did not do what it is there for.
func (s *server) failed(err error, now time.Time, log logrus.FieldLogger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := min(firstPause<<min(s.failures, 10), longestPause)
	s.failures++
	s.until = now.Add(pause)
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

// Package certauth takes clients' certificates for users: a name in the certificate is
// the user's. That it is good has been found out by the handshake (tlsconf.Clients); this
// package only reads it.
//
// It knows nothing of handshakes, authorities or files.
package certauth

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/orbitd/orbitd/pkg/auth"
)

// Where a user's name may stand in a certificate.
const (
	CommonName = "cn"    // of the subject
	DNS        = "dns"   // a name among the subject's alternative ones
	Email      = "email" // the same
	URI        = "uri"   // the same
)

// maxUser bounds a user's name, in bytes.
const maxUser = 256

// Options are what an Authenticator needs.
type Options struct {
	// User is where the user's name stands. There it must stand once: of two nobody
	// says which is meant.
	User string
	// Units says that the subject's organizational units are the user's groups.
	Units bool
	// Believe returns the login that certificates stand for, which a client has shown, its
	// own first: until when they are good at most, and by what name Ended knows them. The
	// error says why they are not good any more.
	Believe func(shown []*x509.Certificate) (auth.Login, error)
	// Ended reports whether the certificates of a login are not good any more: of a
	// client that is connected. It is also asked about logins of other kinds.
	Ended func(login string) bool
}

// An Authenticator is immutable and may be used concurrently.
type Authenticator struct{ o Options }

var (
	_ auth.Authenticator = (*Authenticator)(nil)
	_ auth.Ender         = (*Authenticator)(nil)
)

// New returns an authenticator.
func New(o Options) (*Authenticator, error) {
	switch o.User {
	case CommonName, DNS, Email, URI:
	default:
		return nil, fmt.Errorf("certauth: no certificate has a user's name at %q", o.User)
	}
	if o.Believe == nil || o.Ended == nil {
		return nil, fmt.Errorf("certauth: Believe and Ended are required")
	}
	return &Authenticator{o}, nil
}

// Authenticate returns the identity in a certificate. It ends with the certificate and
// those that have signed it, and when one is revoked or believed no more.
func (a *Authenticator) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	if !c.OnlyCertificate() {
		return nil, fmt.Errorf("%w: no certificate, or something that goes before it", auth.ErrPass)
	}
	own := c.Certificates[0]
	user, err := a.user(own)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrDenied, err)
	}
	login, err := a.o.Believe(c.Certificates)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrDenied, err)
	}
	id := &auth.Identity{User: user, Expires: login.Ends, Login: &login}
	if a.o.Units {
		id.Groups = own.Subject.OrganizationalUnit
	}
	return id, nil
}

// Ended reports whether the certificates of a login are not good any more.
func (a *Authenticator) Ended(login string) bool { return a.o.Ended(login) }

// user returns the name, exactly as it stands there: case, spaces and Unicode included,
// but for the case of a DNS name, which has none.
func (a *Authenticator) user(c *x509.Certificate) (string, error) {
	names := a.names(c)
	switch {
	case len(names) != 1:
		return "", fmt.Errorf("the certificate has %d names at %q, and must have one", len(names), a.o.User)
	case names[0] == "" || len(names[0]) > maxUser:
		return "", fmt.Errorf("the name in the certificate has %d bytes; 1 to %d are taken", len(names[0]), maxUser)
	case !utf8.ValidString(names[0]) || strings.ContainsFunc(names[0], unprintable):
		return "", fmt.Errorf("the name in the certificate has characters that cannot be seen")
	}
	return names[0], nil
}

// unprintable reports what makes two names look the same.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func (a *Authenticator) names(c *x509.Certificate) (names []string) {
	switch a.o.User {
	case DNS:
		for _, name := range c.DNSNames {
			names = append(names, strings.ToLower(name))
		}
	case Email:
		return c.EmailAddresses
	case URI:
		for _, u := range c.URIs {
			names = append(names, u.String())
		}
	case CommonName:
		for _, part := range c.Subject.Names {
			if name, ok := part.Value.(string); ok && part.Type.Equal(commonName) {
				names = append(names, name)
			}
		}
	}
	return names
}

// commonName is the attribute of that name (RFC 5280, appendix A.1).
var commonName = asn1.ObjectIdentifier{2, 5, 4, 3}

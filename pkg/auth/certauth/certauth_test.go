package certauth_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/certauth"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

var authority = tlstest.NewAuthority()

func at(t *testing.T, where string, revoked string) *certauth.Authenticator {
	t.Helper()
	believe := func(shown []*x509.Certificate) (auth.Login, error) {
		if id := shown[0].SerialNumber.String(); id != revoked {
			return auth.Login{ID: id, Ends: shown[0].NotAfter}, nil
		}
		return auth.Login{}, errors.New("it was revoked")
	}
	a, err := certauth.New(certauth.Options{
		User: where, Units: true, Believe: believe, Ended: func(id string) bool { return id == revoked },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestNames is the table of names that somebody may have had signed.
func TestNames(t *testing.T) {
	subject := func(names ...any) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{}
			for _, name := range names {
				c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name})
			}
		}
	}
	for _, c := range []struct {
		name, where, want string // want "": nobody
		change            func(*x509.Certificate)
	}{
		{"plain", "cn", "robot", subject("robot")},
		{"with spaces", "cn", " Robot ", subject(" Robot ")},
		{"Unicode", "cn", "röbot", subject("röbot")},
		{"like a pattern", "cn", "*", subject("*")},
		{"like a DN", "cn", "robot,cn=admin", subject("robot,cn=admin")},
		{"none", "cn", "", subject()},
		{"two", "cn", "", subject("robot", "admin")},
		{"empty", "cn", "", subject("")},
		{"NUL", "cn", "", subject("admin\x00.example")},
		{"newline", "cn", "", subject("robot\nlevel=error")},
		{"right to left", "cn", "", subject("robot\u202eadmin")},
		{"no width", "cn", "", subject("ad\u200bmin")},
		{"long", "cn", "", subject(strings.Repeat("r", 257))},
		{"not the subject's", "dns", "robot.example", func(c *x509.Certificate) { c.DNSNames = []string{"Robot.example"} }},
		{"two names", "dns", "", func(c *x509.Certificate) { c.DNSNames = []string{"a.example", "b.example"} }},
		{"the subject instead", "dns", "", subject("robot.example")},
		{"mail", "email", "Robot@example.org", func(c *x509.Certificate) { c.EmailAddresses = []string{"Robot@example.org"} }},
		{"URI", "uri", "spiffe://example.org/robot", func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/robot"}}
		}},
	} {
		certificate := authority.ClientCertificate("robot", c.change).Leaf
		id, err := at(t, c.where, "").Authenticate(t.Context(), auth.Credentials{Certificates: []*x509.Certificate{certificate}})
		switch {
		case c.want == "" && !errors.Is(err, auth.ErrDenied):
			t.Errorf("%s: %+v, %v", c.name, id, err)
		case c.want != "" && (err != nil || id.User != c.want || !id.Expires.Equal(certificate.NotAfter)):
			t.Errorf("%s: %+v, %v; want %q", c.name, id, err, c.want)
		}
	}
}

func TestUnitsAndRevocation(t *testing.T) {
	robot := authority.ClientCertificate("robot", func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"desk", "floor"} }).Leaf
	id, err := at(t, "cn", "").Authenticate(t.Context(), auth.Credentials{Certificates: []*x509.Certificate{robot}})
	if err != nil || !slices.Equal(id.Groups, []string{"desk", "floor"}) {
		t.Fatalf("%+v, %v", id, err)
	}
	after := at(t, "cn", id.Login.ID)
	if _, err := after.Authenticate(t.Context(), auth.Credentials{Certificates: []*x509.Certificate{robot}}); !errors.Is(err, auth.ErrDenied) || !after.Ended(id.Login.ID) {
		t.Errorf("revoked, and %v", err)
	}
	another := authority.ClientCertificate("robot").Leaf
	if _, err := after.Authenticate(t.Context(), auth.Credentials{Certificates: []*x509.Certificate{another}}); err != nil {
		t.Errorf("another one of the same name: %v", err)
	}
}

// TestGoesBehind: who says something else means that, and a certificate that nobody
// takes for a user is no user's.
func TestGoesBehind(t *testing.T) {
	robot := authority.ClientCertificate("robot").Leaf
	a := at(t, "cn", "")
	for _, c := range []auth.Credentials{{}, {Certificates: []*x509.Certificate{robot}, Token: "t"}, {Certificates: []*x509.Certificate{robot}, User: "alice", Password: "p"}} {
		if _, err := a.Authenticate(t.Context(), c); !errors.Is(err, auth.ErrPass) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	nobody := auth.NewChain([]auth.Named{{Name: "passes", Authenticator: passes{}}}, nil)
	if id, err := nobody.Authenticate(t.Context(), auth.Credentials{Certificates: []*x509.Certificate{robot}}); id != nil || err != nil {
		t.Errorf("%+v, %v", id, err)
	}
	if _, err := nobody.Authenticate(t.Context(), auth.Credentials{Certificates: []*x509.Certificate{robot}, Token: "t"}); err == nil {
		t.Error("a token that is no good is made up for by a certificate")
	}
}

type passes struct{}

func (passes) Authenticate(context.Context, auth.Credentials) (*auth.Identity, error) {
	return nil, auth.ErrPass
}

package ldapauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/tests/slapd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// options are those for a server's sample.
func options(s *slapd.Server) ldapauth.Options {
	return ldapauth.Options{
		URLs: []string{s.Plain}, PlainText: true, BindDN: slapd.Service, BindPassword: slapd.ServicePassword,
		UserBase: slapd.People, GroupBase: slapd.Groups,
	}
}

func open(t *testing.T, o ldapauth.Options, change ...func(*ldapauth.Options)) *ldapauth.Authenticator {
	t.Helper()
	for _, c := range change {
		c(&o)
	}
	a, err := ldapauth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func login(t *testing.T, a *ldapauth.Authenticator, user, password string) (*auth.Identity, error) {
	t.Helper()
	return a.Authenticate(t.Context(), auth.Credentials{User: user, Password: password})
}

func mustLogin(t *testing.T, a *ldapauth.Authenticator, user, password string) *auth.Identity {
	t.Helper()
	id, err := login(t, a, user, password)
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	return id
}

// wantNo checks that err is a definite no of a kind: auth.ErrPass or auth.ErrDenied.
func wantNo(t *testing.T, err, kind error) {
	t.Helper()
	other := auth.ErrPass
	if errors.Is(kind, auth.ErrPass) {
		other = auth.ErrDenied
	}
	if !errors.Is(err, kind) || errors.Is(err, other) {
		t.Errorf("got %v, want %q", err, kind)
	}
}

// wantUnknown checks that err says that it could not be found out.
func wantUnknown(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, auth.ErrPass) || errors.Is(err, auth.ErrDenied) {
		t.Errorf("got %v, want that it could not be found out", err)
	}
}

func trust(t testing.TB, ca string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots}
}

func has(id *auth.Identity, groups ...string) bool {
	for _, g := range groups {
		if !slices.Contains(id.Groups, g) {
			return false
		}
	}
	return true
}

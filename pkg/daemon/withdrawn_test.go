package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
)

// A partner signs tokens for carol, and has given its public key in a file.
type partner struct {
	t    *testing.T
	path string
	key  *ecdsa.PrivateKey
}

func newPartner(t *testing.T) *partner {
	p := &partner{t: t, path: filepath.Join(t.TempDir(), "partner.pem")}
	p.renew()
	return p
}

// renew replaces the key, in its file as well.
func (p *partner) renew() {
	p.t.Helper()
	var err error
	p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(p.t, err)
	der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	must(p.t, err)
	must(p.t, os.WriteFile(p.path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
}

func (p *partner) token() string {
	p.t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://partner.example", "aud": "orbitd", "sub": "carol", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(p.key)
	must(p.t, err)
	return text
}

// What a token has opened ends with the key that has signed the token: where its file has
// another after a reload, where its issuer publishes it no more, and where this server
// has made itself new ones.
func TestConnectionsEndWithTheirKey(t *testing.T) {
	t.Parallel()
	issuer, partner := newSignOn(t), newPartner(t)
	s := newDesk(t, fmt.Sprintf(`
[[auth]]
type = "token"
name = "partner"
issuer = "https://partner.example"
key = "file:%s"

[[auth]]
type = "token"
name = "sso"
issuer = %q
jwks = "%[2]s/keys"
jwks_refresh = "10s"
audience = "push"
`, partner.path, issuer.URL))
	first := partner.token()
	byPartner, byIssuer, own := s.watch("/v1/stream", first), s.watch("/v1/sse", issuer.token(issuer.URL, "one")), s.watch("/v1/ws", s.login("alice").Token)
	for s.Clients() < 3 {
		runtime.Gosched()
	}
	reload := func(what string) {
		t.Helper()
		must(t, s.Reload(t.Context()))
		for _, w := range []*watcher{byIssuer, own} {
			select {
			case <-w.end:
				t.Fatalf("%s: %s has ended: %s", what, w.path, w.text())
			default:
			}
		}
	}
	ended := func(what string, w *watcher) {
		t.Helper()
		if <-w.end; !strings.Contains(w.text(), `{"bye":{"code":"unauthorized"}}`) {
			t.Errorf("%s: %s", what, w.text())
		}
	}
	reload("nothing has changed")
	if !s.good(first) {
		t.Error("a good token is refused")
	}
	partner.renew()
	reload("another key in the partner's file")
	ended("another key in the partner's file", byPartner)
	if s.good(first) || !s.good(partner.token()) {
		t.Error("the wrong key of the partner's counts")
	}
	key := filepath.Join(s.folder, "engine", "token.key")
	must(t, tokenauth.RotateKey(key))
	reload("the server's own key is the one before")
	must(t, tokenauth.RotateKey(key))
	must(t, s.Reload(t.Context()))
	ended("two newer keys", own)
	issuer.published.Store(&partner.key.PublicKey)
	ended("the issuer has withdrawn its key", byIssuer)
}

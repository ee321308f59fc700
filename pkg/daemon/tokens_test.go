package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A signOn is somebody else's issuer of tokens, with its keys at a URL.
type signOn struct {
	*httptest.Server
	t         *testing.T
	key       *ecdsa.PrivateKey
	published atomic.Pointer[ecdsa.PublicKey]
	down      atomic.Bool
	asked     atomic.Int32
}

func newSignOn(t *testing.T) *signOn {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	s := &signOn{t: t, key: key}
	s.published.Store(&key.PublicKey)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *signOn) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.asked.Add(1)
	if s.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	point, err := s.published.Load().Bytes()
	if err != nil {
		s.t.Error(err)
	}
	coordinate := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "x": coordinate(point[1:33]), "y": coordinate(point[33:]),
	}}})
}

// token returns one for alice, who has roles.
func (s *signOn) token(issuer, kid string, roles ...string) string {
	s.t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuer, "aud": "push", "sub": "4711", "exp": time.Now().Add(time.Hour).Unix(),
		"preferred_username": "alice", "realm_access": map[string]any{"roles": roles},
	})
	token.Header["kid"] = kid
	text, err := token.SignedString(s.key)
	must(s.t, err)
	return text
}

// TestForeignTokens: who an issuer says somebody is counts as its keys say, also
// after a reload while it is down.
func TestForeignTokens(t *testing.T) {
	t.Parallel()
	issuer := newSignOn(t)
	text := server + small + fmt.Sprintf(`
[[auth]]
type = "token"
name = "sso"
issuer = %q
jwks = "%[1]s/keys"
audience = "push"
user_claim = "preferred_username"
groups_claim = "realm_access.roles"

[[auth]]
type = "token"

[[channel]]
match = "/desk/{user}"
subscribe = ["self"]
publish = ["group:traders"]
`, issuer.URL)
	site := newSite(t, text)
	publish := func(token string, status int) {
		t.Helper()
		answer, body := site.do("POST", "http", "/v1/publish/desk/alice", "1", "Authorization", "Bearer "+token)
		if answer.StatusCode != status {
			t.Errorf("%d %s, want %d", answer.StatusCode, body, status)
		}
	}
	publish(issuer.token(issuer.URL, "one", "traders"), http.StatusOK)
	publish(issuer.token(issuer.URL, "one", "clerks"), http.StatusForbidden)
	publish(issuer.token("https://evil.example", "one", "traders"), http.StatusUnauthorized)
	issuer.down.Store(true)
	must(t, site.Reload(t.Context()))
	publish(issuer.token(issuer.URL, "one", "traders"), http.StatusOK)
	publish(issuer.token(issuer.URL, "two", "traders"), http.StatusServiceUnavailable)
	if n := issuer.asked.Load(); n != 1 {
		t.Errorf("the keys were read %d times", n)
	}
	site.write("orbitd.toml", strings.Replace(text, "audience =", "jwks_refresh = \"2h\"\naudience =", 1))
	must(t, site.Reload(t.Context())) // which reads them anew, and cannot
	publish(issuer.token(issuer.URL, "one", "traders"), http.StatusOK)
	if answer, body := site.do("GET", "http", "/v1/history/desk/alice", "", "Authorization", "Bearer "+issuer.token(issuer.URL, "one")); answer.StatusCode != http.StatusOK || !strings.Contains(body, `"by":"alice"`) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// TestRefusedReloadLeavesNothing: what was made for a configuration that does not come
// into force is closed; else TestMain finds what reads the keys again and again.
func TestRefusedReloadLeavesNothing(t *testing.T) {
	issuer := newSignOn(t)
	s, _ := newSecureSite(t)
	before := s.Config()
	s.write("ca.pem", "nonsense")
	s.write("orbitd.toml", secured+certificate+"client_ca = \"ca.pem\"\n"+small+open+fmt.Sprintf("[[auth]]\ntype = \"token\"\nissuer = %q\njwks = \"%[1]s/keys\"\n", issuer.URL))
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "ca.pem") {
		t.Fatalf("reloaded: %v", err)
	}
	if s.Config() != before {
		t.Error("the new configuration is in force")
	}
}

package tokenauth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
)

var now = time.Unix(1_800_000_000, 0)

// issue logs an identity in.
func issue(a *tokenauth.Authenticator, id *auth.Identity) (token string, expires time.Time, err error) {
	t, err := a.Login(id)
	return t.Token, t.Expires, err
}

func TestIssueAndAuthenticate(t *testing.T) {
	a := server(t, ownKey(t), now)
	token, expires, err := issue(a, &auth.Identity{User: "alice", Groups: []string{"editors"}, Realm: "file"})
	if err != nil || !expires.Equal(now.Add(tokenauth.DefaultTTL)) {
		t.Fatalf("issued until %v, %v", expires, err)
	}
	id, err := a.Authenticate(t.Context(), auth.Credentials{Token: token, User: "mallory", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if id.User != "alice" || id.Realm != "file" || !slices.Equal(id.Groups, []string{"editors"}) || !id.Expires.Equal(expires.Add(tokenauth.Skew)) {
		t.Errorf("identity %+v", id)
	}
	again, _, err := issue(a, id)
	if err != nil || again == token {
		t.Errorf("two tokens are the same, or %v", err)
	}
}

func TestClaims(t *testing.T) {
	token, _, err := issue(server(t, ownKey(t), now), &auth.Identity{User: "alice", Groups: []string{"editors"}, Realm: "file"})
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Header["alg"] != "EdDSA" || claims["sub"] != "alice" || claims["iss"] != "orbitd" || claims["iat"] != float64(now.Unix()) || claims["jti"] == "" || claims["realm"] != "file" {
		t.Errorf("header %v, claims %v", parsed.Header, claims)
	}
	if aud, err := claims.GetAudience(); err != nil || !slices.Equal(aud, []string{"orbitd"}) {
		t.Errorf("audience %v, %v", aud, err)
	}
}

// TestTokensForTokens: logging in with a token gives none that lives longer.
func TestTokensForTokens(t *testing.T) {
	key := ownKey(t)
	token, first, err := issue(server(t, key, now), &auth.Identity{User: "alice", Realm: "file"})
	if err != nil {
		t.Fatal(err)
	}
	later := server(t, key, now.Add(time.Hour))
	id, err := later.Authenticate(t.Context(), auth.Credentials{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if _, second, err := issue(later, id); err != nil || !second.Equal(first) {
		t.Errorf("the second ends at %v, the first at %v; %v", second, first, err)
	}
}

func TestIssueRefuses(t *testing.T) {
	a := server(t, ownKey(t), now)
	for name, id := range map[string]*auth.Identity{
		"nobody":       nil,
		"no user":      {Realm: "file"},
		"no realm":     {User: "alice"},
		"many, longer": {User: "alice", Realm: "file", Groups: slices.Repeat([]string{strings.Repeat("g", 100)}, 100)},
	} {
		if token, _, err := issue(a, id); err == nil || token != "" {
			t.Errorf("%s: issued %q", name, token)
		}
	}
	_, public := keyPair(t)
	if _, _, err := issue(server(t, public, now), &auth.Identity{User: "alice", Realm: "file"}); err == nil {
		t.Error("issued with a public key")
	}
	if _, err := tokenauth.New(tokenauth.Options{}); err == nil {
		t.Error("made without a key")
	}
}

// TestPublicKey: whoever has the private half is believed about users, and not
// about which of our authenticators vouches for them.
func TestPublicKey(t *testing.T) {
	private, key := keyPair(t)
	a := server(t, key, now)
	for _, issuer := range []string{"elsewhere", ""} {
		token := signed(t, private, jwt.SigningMethodEdDSA, with(good(), "iss", issuer, "realm", "ldap"))
		id, err := a.Authenticate(t.Context(), auth.Credentials{Token: token})
		if err != nil || id.User != "alice" || id.Realm != "" {
			t.Errorf("%+v, %v", id, err)
		}
	}
}

func TestBadTokens(t *testing.T) {
	private, _ := keyPair(t)
	key := mustParse(t, privatePEM(t, private))
	a := server(t, key, now)
	if _, err := a.Authenticate(t.Context(), auth.Credentials{Token: signed(t, private, jwt.SigningMethodEdDSA, good())}); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	foreign, _ := keyPair(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := private.Public().(ed25519.PublicKey)
	ok := signed(t, private, jwt.SigningMethodEdDSA, good())
	parts := strings.Split(ok, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	sign := func(claims jwt.MapClaims) string { return signed(t, private, jwt.SigningMethodEdDSA, claims) }
	at := func(d time.Duration) float64 { return float64(now.Add(d).Unix()) }

	for _, tc := range []struct {
		name, token string
		want        error
	}{
		{"none", "", auth.ErrPass},
		{"garbage", "garbage", auth.ErrPass},
		{"dots", "..", auth.ErrPass},
		{"two parts", parts[0] + "." + parts[1], auth.ErrPass},
		{"four parts", ok + ".x", auth.ErrPass},
		{"no signature", parts[0] + "." + parts[1] + ".", auth.ErrPass},
		{"cut signature", ok[:len(ok)-2], auth.ErrPass},
		{"padded", ok + "=", auth.ErrPass},
		{"newline", ok + "\n", auth.ErrPass},
		{"header of another", b64([]byte(`{"alg":"EdDSA","typ":"JWT","kid":"x"}`)) + "." + parts[1] + "." + parts[2], auth.ErrPass},
		{"claims of another", parts[0] + "." + b64([]byte(`{"sub":"root","exp":9999999999,"aud":"orbitd","iss":"orbitd"}`)) + "." + parts[2], auth.ErrPass},
		{"header no JSON", b64([]byte(`alg`)) + "." + parts[1] + "." + parts[2], auth.ErrPass},
		{"header null", b64([]byte(`null`)) + "." + parts[1] + "." + parts[2], auth.ErrPass},
		{"header without alg", b64([]byte(`{}`)) + "." + parts[1] + "." + parts[2], auth.ErrPass},
		{"alg a number", b64([]byte(`{"alg":1}`)) + "." + parts[1] + "." + parts[2], auth.ErrPass},
		{"alg unknown", b64([]byte(`{"alg":"EdDSA2"}`)) + "." + parts[1] + "." + parts[2], auth.ErrPass},
		{"alg none", signed(t, jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, good()), auth.ErrPass},
		{"alg None", b64([]byte(`{"alg":"None"}`)) + "." + parts[1] + ".", auth.ErrPass},
		{"alg none, our signature", b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2], auth.ErrPass},
		{"HMAC with the public key", signed(t, []byte(public), jwt.SigningMethodHS256, good()), auth.ErrPass},
		{"HMAC with the PEM", signed(t, publicPEM(t, public), jwt.SigningMethodHS512, good()), auth.ErrPass},
		{"RSA", signed(t, rsaKey, jwt.SigningMethodRS256, good()), auth.ErrPass},
		{"RSA-PSS", signed(t, rsaKey, jwt.SigningMethodPS256, good()), auth.ErrPass},
		{"another's key", signed(t, foreign, jwt.SigningMethodEdDSA, good()), auth.ErrPass},
		{"key in the header", withHeader(t, foreign, "jwk", map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(foreign.Public().(ed25519.PublicKey))}), auth.ErrPass},
		{"key id is a path", withHeader(t, foreign, "kid", "../../dev/null"), auth.ErrPass},
		{"exp missing", sign(with(good(), "exp", nil)), auth.ErrDenied},
		{"exp null", sign(jwt.MapClaims{"sub": "alice", "aud": "orbitd", "iss": "orbitd", "exp": nil}), auth.ErrDenied},
		{"exp zero", sign(with(good(), "exp", 0)), auth.ErrDenied},
		{"exp a text", sign(with(good(), "exp", "tomorrow")), auth.ErrDenied},
		{"exp beyond all time", sign(with(good(), "exp", 1e300)), auth.ErrDenied},
		{"exp of another age", sign(with(good(), "exp", 253402300800)), auth.ErrDenied},
		{"exp negative", sign(with(good(), "exp", -1)), auth.ErrDenied},
		{"expired", sign(with(good(), "exp", at(-61*time.Second))), auth.ErrDenied},
		{"expired at the skew", sign(with(good(), "exp", at(-60*time.Second))), auth.ErrDenied},
		{"not yet", sign(with(good(), "nbf", at(61*time.Second))), auth.ErrDenied},
		{"issued in the future", sign(with(good(), "iat", at(61*time.Second))), auth.ErrDenied},
		{"no audience", sign(with(good(), "aud", nil)), auth.ErrDenied},
		{"another audience", sign(with(good(), "aud", "other")), auth.ErrDenied},
		{"audience in upper case", sign(with(good(), "aud", "ORBITD")), auth.ErrDenied},
		{"no audience in a list", sign(with(good(), "aud", []string{})), auth.ErrDenied},
		{"another issuer", sign(with(good(), "iss", "other")), auth.ErrPass},
		{"issuer a list", sign(with(good(), "iss", []string{"orbitd"})), auth.ErrPass},
		{"no issuer", sign(with(good(), "iss", nil)), auth.ErrPass},
		{"no user", sign(with(good(), "sub", nil)), auth.ErrDenied},
		{"user empty", sign(with(good(), "sub", "")), auth.ErrDenied},
		{"user a number", sign(with(good(), "sub", 7)), auth.ErrDenied},
		{"user long", sign(with(good(), "sub", strings.Repeat("u", 257))), auth.ErrDenied},
		{"user with a newline", sign(with(good(), "sub", "alice\nroot")), auth.ErrDenied},
		{"groups a number", sign(with(good(), "groups", 7)), auth.ErrDenied},
		{"groups with a number", sign(with(good(), "groups", []any{"a", 7})), auth.ErrDenied},
		{"claims null", parts[0] + "." + b64([]byte(`null`)) + "." + parts[2], auth.ErrPass},
		{"critical extension", withHeader(t, private, "crit", []string{"b64"}), auth.ErrDenied},
		{"a logout token", withHeader(t, private, "typ", "logout+jwt"), auth.ErrDenied},
		{"type a number", withHeader(t, private, "typ", 7), auth.ErrDenied},
		{"key id a number", withHeader(t, private, "kid", 7), auth.ErrPass},
		{"claims a list", parts[0] + "." + b64([]byte(`[]`)) + "." + parts[2], auth.ErrPass},
		{"long", sign(with(good(), "x", strings.Repeat("x", tokenauth.MaxLength))), auth.ErrDenied},
		{"long garbage", strings.Repeat("a", tokenauth.MaxLength+1), auth.ErrDenied},
		{"many dots", strings.Repeat(".", tokenauth.MaxLength), auth.ErrPass},
	} {
		id, err := a.Authenticate(t.Context(), auth.Credentials{Token: tc.token})
		if id != nil || !errors.Is(err, tc.want) {
			t.Errorf("%s: %+v, %v; want %v", tc.name, id, err, tc.want)
		}
	}
}

// TestAlgorithmIsPinned: a token of another algorithm is refused for that, and
// never gets as far as the key.
func TestAlgorithmIsPinned(t *testing.T) {
	private, key := keyPair(t)
	for _, token := range []string{
		signed(t, []byte(private.Public().(ed25519.PublicKey)), jwt.SigningMethodHS256, good()),
		signed(t, jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, good()),
	} {
		_, err := server(t, key, now).Authenticate(t.Context(), auth.Credentials{Token: token})
		if err == nil || !strings.Contains(err.Error(), "signing method") && !strings.Contains(err.Error(), "of algorithm") {
			t.Errorf("refused for something else: %v", err)
		}
	}
}

func TestSkew(t *testing.T) {
	private, key := keyPair(t)
	a := server(t, key, now)
	for claim, d := range map[string]time.Duration{"exp": -59 * time.Second, "nbf": 60 * time.Second, "iat": 60 * time.Second} {
		token := signed(t, private, jwt.SigningMethodEdDSA, with(good(), claim, float64(now.Add(d).Unix())))
		id, err := a.Authenticate(t.Context(), auth.Credentials{Token: token})
		if err != nil || id.Expired(now) {
			t.Errorf("%s off by %v: %+v, %v", claim, d, id, err)
		}
	}
}

func TestPasswordsAreNotOurs(t *testing.T) {
	if _, err := server(t, ownKey(t), now).Authenticate(t.Context(), auth.Credentials{User: "alice", Password: "x"}); !errors.Is(err, auth.ErrPass) {
		t.Error(err)
	}
}

func TestLoadOrCreateKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	var wg sync.WaitGroup
	tokens := make([]string, 8)
	for i := range tokens {
		wg.Go(func() {
			key, _, err := tokenauth.LoadOrCreateKeys(path)
			if err != nil {
				t.Error(err)
				return
			}
			a, err := tokenauth.New(tokenauth.Options{Key: key, Clock: func() time.Time { return now }})
			if err == nil {
				tokens[i], _, err = issue(a, &auth.Identity{User: "alice", Realm: "file"})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	key, _, err := tokenauth.LoadOrCreateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	a := server(t, key, now)
	for _, token := range tokens {
		if _, err := a.Authenticate(t.Context(), auth.Credentials{Token: token}); err != nil {
			t.Errorf("a token by another start: %v", err)
		}
	}
}

func TestLoadOrCreateKeysRefuses(t *testing.T) {
	private, _ := keyPair(t)
	dir := t.TempDir()
	write := func(name string, data []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, data, mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		write("open", privatePEM(t, private), 0o640):                               "others can read it",
		write("public", publicPEM(t, private.Public().(ed25519.PublicKey)), 0o600): "must be private",
		write("empty", nil, 0o600):                                                 "not in PEM form",
		filepath.Join(dir, "none", "key"):                                          "no such file",
	} {
		if _, _, err := tokenauth.LoadOrCreateKeys(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(path), err, want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "empty")); err != nil || len(data) != 0 {
		t.Error("a file that is no key was written over")
	}
}

func TestParseKeys(t *testing.T) {
	private, _ := keyPair(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weak := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ok := privatePEM(t, private)
	for name, data := range map[string][]byte{
		"nothing":       nil,
		"text":          []byte("secret"),
		"text behind":   append(slices.Clone(ok), "text"...),
		"another kind":  append(slices.Clone(ok), publicPEM(t, &rsaKey.PublicKey)...),
		"two public":    slices.Repeat(publicPEM(t, private.Public().(ed25519.PublicKey)), 2),
		"broken":        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		"broken public": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
		"RSA":           privatePEM(t, rsaKey),
		"RSA of 1024":   publicPEM(t, weak),
		"P-384":         publicPEM(t, &p384.PublicKey),
		"certificate":   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
	} {
		if _, _, err := tokenauth.ParseKeys(data); err == nil || !strings.HasPrefix(err.Error(), "token key: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// good returns the claims of a token that is accepted.
func good() jwt.MapClaims {
	return jwt.MapClaims{
		"sub": "alice", "iss": "orbitd", "aud": "orbitd", "jti": "1", "realm": "file",
		"iat": float64(now.Unix()), "exp": float64(now.Add(time.Hour).Unix()),
	}
}

// with sets claims by name and value; nil takes one away.
func with(claims jwt.MapClaims, pairs ...any) jwt.MapClaims {
	for i := 0; i < len(pairs); i += 2 {
		if claims[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(claims, pairs[i].(string))
		}
	}
	return claims
}

func signed(t *testing.T, key any, method jwt.SigningMethod, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func withHeader(t *testing.T, key ed25519.PrivateKey, name string, value any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, good())
	token.Header[name] = value
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func server(t *testing.T, key tokenauth.Key, at time.Time) *tokenauth.Authenticator {
	t.Helper()
	a, err := tokenauth.New(tokenauth.Options{Key: key, Clock: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ownKey(t *testing.T) tokenauth.Key {
	t.Helper()
	private, _ := keyPair(t)
	return mustParse(t, privatePEM(t, private))
}

// keyPair returns a private key and the Key of its public half.
func keyPair(t *testing.T) (ed25519.PrivateKey, tokenauth.Key) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, mustParse(t, publicPEM(t, public))
}

func mustParse(t *testing.T, data []byte) tokenauth.Key {
	t.Helper()
	key, _, err := tokenauth.ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func privatePEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

package tokenauth_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
)

// keyOf returns the key that checks an issuer's tokens of an algorithm.
func keyOf(t *testing.T, i *issuer, algorithm string) tokenauth.Key {
	t.Helper()
	if algorithm != tokenauth.HS256 {
		return mustParse(t, i.public(algorithm))
	}
	key, err := tokenauth.Secret(i.secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestForeignTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for _, algorithm := range tokenauth.Algorithms {
		single := believing(t, tokenauth.Options{Key: keyOf(t, i, algorithm)})
		many := believing(t, tokenauth.Options{Keys: parsedSet(t, set(t, i.jwk(algorithm, "one")))})
		for name, tc := range map[string]struct {
			a    *tokenauth.Authenticator
			kid  string
			want error
		}{
			"single, no id": {single, "", nil}, "single, an id": {single, "any", nil},
			"set, its id": {many, "one", nil}, "set, no id": {many, "", nil}, "set, another id": {many, "two", auth.ErrPass},
			"set, a path": {many, "../../one", auth.ErrPass}, "set, a query": {many, "one' OR '1'='1", auth.ErrPass},
		} {
			id, err := tc.a.Authenticate(t.Context(), auth.Credentials{Token: i.token(algorithm, tc.kid, i.claims())})
			if !errors.Is(err, tc.want) || err == nil && (id.User != "alice" || id.Realm != "") {
				t.Errorf("%s, %s: %+v, %v", algorithm, name, id, err)
			}
		}
	}
}

// TestAlgorithmIsTheKeys: every token is signed rightly, by the algorithm that it
// names, with what an attacker may know; and no key is used with another algorithm
// than its own.
func TestAlgorithmIsTheKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	none := signed(t, jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, i.claims())
	for _, own := range tokenauth.Algorithms {
		for how, a := range map[string]*tokenauth.Authenticator{
			"key": believing(t, tokenauth.Options{Key: keyOf(t, i, own)}),
			"set": believing(t, tokenauth.Options{Keys: parsedSet(t, set(t, i.jwk(own, "")))}),
		} {
			tokens := map[string]string{"none": none}
			for _, other := range tokenauth.Algorithms {
				if other != own {
					tokens[other] = i.token(other, "", i.claims())
				}
			}
			if own != tokenauth.HS256 {
				public := i.public(own)
				tokens["HS256 with the PEM"] = signed(t, public, jwt.SigningMethodHS256, i.claims())
				tokens["HS256 with the PEM, trimmed"] = signed(t, []byte(strings.TrimSpace(string(public))), jwt.SigningMethodHS256, i.claims())
			}
			if own == tokenauth.EdDSA {
				tokens["HS256 with the bytes"] = signed(t, []byte(i.ed.Public().(ed25519.PublicKey)), jwt.SigningMethodHS256, i.claims())
			}
			if own == tokenauth.RS256 {
				tokens["PS256"] = signed(t, i.rsa, jwt.SigningMethodPS256, i.claims())
				tokens["RS512"] = signed(t, i.rsa, jwt.SigningMethodRS512, i.claims())
			}
			if own == tokenauth.HS256 {
				tokens["HS512"] = signed(t, i.secret, jwt.SigningMethodHS512, i.claims())
			}
			for name, token := range tokens {
				if id, err := a.Authenticate(t.Context(), auth.Credentials{Token: token}); id != nil || !errors.Is(err, auth.ErrPass) {
					t.Errorf("%s of %s, a token of %s: %+v, %v", how, own, name, id, err)
				}
			}
		}
	}
}

// TestSecretIsNoPublicKey: who configures a public key as a secret lets everybody in.
func TestSecretIsNoPublicKey(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for want, secret := range map[string][]byte{"PEM form is not a secret": i.public(tokenauth.RS256), "a secret of 31 bytes": i.secret[1:]} {
		if _, err := tokenauth.Secret(secret); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestForeignClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := believing(t, tokenauth.Options{Key: keyOf(t, i, tokenauth.EdDSA), Audience: "push", Leeway: 2 * time.Second})
	at := func(d time.Duration) float64 { return float64(now.Add(d).Unix()) }
	base := func() jwt.MapClaims { return with(i.claims(), "aud", []string{"other", "push"}) }
	for _, tc := range []struct {
		name   string
		claims jwt.MapClaims
		want   error
	}{
		{"good", base(), nil},
		{"expired within the leeway", with(base(), "exp", at(-time.Second)), nil},
		{"expired", with(base(), "exp", at(-2*time.Second)), auth.ErrDenied},
		{"never expires", with(base(), "exp", nil), auth.ErrDenied},
		{"not yet, within the leeway", with(base(), "nbf", at(2*time.Second)), nil},
		{"not yet", with(base(), "nbf", at(3*time.Second)), auth.ErrDenied},
		{"issued in the future", with(base(), "iat", at(3*time.Second)), auth.ErrDenied},
		{"for somebody else", with(base(), "aud", "orbitd"), auth.ErrDenied},
		{"for nobody", with(base(), "aud", nil), auth.ErrDenied},
		{"of another issuer", with(base(), "iss", foreign+"/"), auth.ErrPass},
		{"of none", with(base(), "iss", nil), auth.ErrPass},
		{"of two", with(base(), "iss", []string{foreign}), auth.ErrPass},
		{"of ours", with(base(), "iss", tokenauth.Issuer), auth.ErrPass},
	} {
		id, err := a.Authenticate(t.Context(), auth.Credentials{Token: i.token(tokenauth.EdDSA, "", tc.claims)})
		if !errors.Is(err, tc.want) || (id == nil) != (tc.want != nil) {
			t.Errorf("%s: %+v, %v", tc.name, id, err)
		}
		why := map[string]string{"of another issuer": fmt.Sprintf("of the issuer %q, not of %q", foreign+"/", foreign), "for somebody else": `it is for "orbitd", not for "push"`}
		if !strings.Contains(fmt.Sprint(err), why[tc.name]) {
			t.Errorf("nobody can tell from this what is wrong: %v", err)
		}
	}
}

// TestNamesStandOnce: two readers of a token must not read two things in it.
func TestNamesStandOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := believing(t, tokenauth.Options{Key: keyOf(t, i, tokenauth.EdDSA), Names: tokenauth.Names{Groups: "access.groups"}})
	const header = `{"alg":"EdDSA","typ":"JWT"}`
	body := func(more string) string {
		return fmt.Sprintf(`{"iss":%q,"aud":"orbitd","exp":%d,"sub":"alice"%s}`, foreign, now.Add(time.Hour).Unix(), more)
	}
	for _, tc := range []struct {
		name, header, claims string
		want                 error
	}{
		{"good", header, body(``), nil},
		{"the same name in two objects", header, body(`,"access":{"sub":"x","groups":["a"],"more":[{"a":1},{"a":[2,"a"]}]},"a":"a"`), nil},
		{"other case is another name", header, body(`,"SUB":"root","Groups":["x"]`), nil},
		{"two users", header, body(`,"sub":"root"`), auth.ErrPass},
		{"two users, one escaped", header, body(`,"s\u0075b":"root"`), auth.ErrPass},
		{"two of a kind inside", header, body(`,"access":{"groups":["a"],"groups":["root"]}`), auth.ErrPass},
		{"two in a list", header, body(`,"x":[{"a":1,"a":2}]`), auth.ErrPass},
		{"two algorithms", `{"alg":"none","alg":"EdDSA"}`, body(``), auth.ErrPass},
		{"two key ids", `{"alg":"EdDSA","kid":"a","kid":"b"}`, body(``), auth.ErrPass},
		{"something behind", header, body(``) + `{}`, auth.ErrPass},
	} {
		id, err := a.Authenticate(t.Context(), auth.Credentials{Token: i.raw(tc.header, tc.claims)})
		if !errors.Is(err, tc.want) || err == nil && id.User != "alice" {
			t.Errorf("%s: %+v, %v", tc.name, id, err)
		}
	}
}

func TestNamesOfClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	claims := with(i.claims(),
		"preferred_username", "Alice", "scope", "read  write", "groups", []string{"default"},
		"realm_access", map[string]any{"roles": []string{"traders"}}, "resource_access", map[string]any{"my.client": map[string]any{"roles": []string{"a.b"}}},
		"https://example.org/groups", []string{"url"}, "a.b", "whole", "a", map[string]any{"b": "nested"}, "none", []string{},
	)
	for _, tc := range []struct {
		names  tokenauth.Names
		user   string
		groups []string
		bad    bool
	}{
		{tokenauth.Names{}, "alice", []string{"default"}, false},
		{tokenauth.Names{User: "preferred_username", Groups: "realm_access.roles"}, "Alice", []string{"traders"}, false},
		{tokenauth.Names{Groups: "resource_access.my.client.roles"}, "alice", []string{"a.b"}, false},
		{tokenauth.Names{Groups: "https://example.org/groups"}, "alice", []string{"url"}, false},
		{tokenauth.Names{Groups: "scope"}, "alice", []string{"read", "write"}, false},
		{tokenauth.Names{Groups: "missing"}, "alice", nil, false},
		{tokenauth.Names{Groups: "realm_access.missing"}, "alice", nil, false},
		{tokenauth.Names{Groups: "sub.x"}, "alice", nil, false},
		{tokenauth.Names{User: "a.b"}, "whole", []string{"default"}, false},
		{tokenauth.Names{Groups: "none"}, "alice", []string{}, false},
		{tokenauth.Names{Groups: "realm_access"}, "", nil, true},
		{tokenauth.Names{User: "missing"}, "", nil, true},
		{tokenauth.Names{User: "realm_access.roles"}, "", nil, true},
	} {
		a := believing(t, tokenauth.Options{Key: keyOf(t, i, tokenauth.ES256), Names: tc.names})
		id, err := a.Authenticate(t.Context(), auth.Credentials{Token: i.token(tokenauth.ES256, "", claims)})
		switch {
		case tc.bad:
			if !errors.Is(err, auth.ErrDenied) {
				t.Errorf("%+v: %+v, %v", tc.names, id, err)
			}
		case err != nil || id.User != tc.user || !slices.Equal(id.Groups, tc.groups):
			t.Errorf("%+v: %+v, %v", tc.names, id, err)
		}
	}
}

// TestHugeTokens: what is long is refused before it is looked at.
func TestHugeTokens(t *testing.T) {
	i := newIssuer(t)
	a := believing(t, tokenauth.Options{Key: keyOf(t, i, tokenauth.EdDSA)})
	for name, token := range map[string]string{
		"long":  i.token(tokenauth.EdDSA, "", with(i.claims(), "x", strings.Repeat("x", tokenauth.MaxLength))),
		"great": strings.Repeat("a", 64<<20),
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if id, err := a.Authenticate(t.Context(), auth.Credentials{Token: token}); id != nil || !errors.Is(err, auth.ErrDenied) {
				t.Errorf("%s: %+v, %v", name, id, err)
			}
		})
		if allocated > 50 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}

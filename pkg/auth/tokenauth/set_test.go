package tokenauth_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
)

func TestParseSet(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	modulus := func(bits uint) string { return b64(new(big.Int).Lsh(big.NewInt(1), bits-1).Bytes()) }
	for _, tc := range []struct {
		key  map[string]any
		want string // why it is left out; empty: it is not
	}{
		{i.jwk("RS256", "a"), ""},
		{i.jwk("RS256", "a", "alg", nil, "use", nil), ""},
		{i.jwk("ES256", "a", "key_ops", []string{"verify"}), ""},
		{i.jwk("EdDSA", "a", "x5c", []string{"ignored"}), ""},
		{i.jwk("HS256", "a"), ""},
		{i.jwk("RS256", "a", "use", "enc"), `its use is "enc"`},
		{i.jwk("RS256", "a", "key_ops", []string{"encrypt"}), "its operations are"},
		{i.jwk("RS256", "a", "key_ops", []string{}), "its operations are"},
		{i.jwk("RS256", "a", "alg", "RS512"), `algorithm "RS512"`},
		{i.jwk("RS256", "a", "alg", "HS256"), `algorithm "HS256"`},
		{i.jwk("RS256", "a", "alg", "none"), `algorithm "none"`},
		{i.jwk("ES256", "a", "alg", "EdDSA"), `algorithm "EdDSA"`},
		{i.jwk("RS256", "a", "d", "AQAB"), "it is a private key"},
		{i.jwk("EdDSA", "a", "d", b64(i.ed.Seed())), "it is a private key"},
		{i.jwk("RS256", "a", "n", modulus(2047)), "2047 bits"},
		{i.jwk("RS256", "a", "n", modulus(1024)), "1024 bits"},
		{i.jwk("RS256", "a", "n", modulus(16384)), "16384 bits"},
		{i.jwk("RS256", "a", "n", nil), "0 bits"},
		{i.jwk("RS256", "a", "e", "AQ"), "exponent"},
		{i.jwk("RS256", "a", "e", "Ag"), "exponent"},
		{i.jwk("RS256", "a", "e", nil), "exponent"},
		{i.jwk("RS256", "a", "e", b64(make([]byte, 5000))), "exponent"},
		{i.jwk("RS256", "a", "n", "a+b/"), "base64"},
		{i.jwk("RS256", "a", "n", 7), "json"},
		{i.jwk("ES256", "a", "crv", "P-384"), "P-384"},
		{i.jwk("ES256", "a", "x", "AQAB"), "length"},
		{i.jwk("ES256", "a", "x", b64(make([]byte, 32)), "y", b64(make([]byte, 32))), "point"},
		{i.jwk("EdDSA", "a", "crv", "X25519"), "not an Ed25519 key"},
		{i.jwk("EdDSA", "a", "x", "AQAB"), "not an Ed25519 key"},
		{i.jwk("HS256", "a", "k", "AQAB"), "a secret of 3 bytes"},
		{i.jwk("RS256", "a", "kty", "new"), `its kind "new" is unknown`},
	} {
		keys, leftOut, err := tokenauth.ParseSet(set(t, tc.key), true)
		text, _ := json.Marshal(tc.key)
		switch {
		case err != nil:
			t.Errorf("%s: %v", text, err)
		case tc.want == "" && (len(keys) != 1 || len(leftOut) != 0), tc.want != "" && (len(keys) != 0 || len(leftOut) != 1):
			t.Errorf("%s: %d keys, left out %v", text, len(keys), leftOut)
		case tc.want != "" && !strings.Contains(leftOut[0].Error(), tc.want):
			t.Errorf("%s: %v, want %q", text, leftOut[0], tc.want)
		}
	}
}

// TestSecretsAreNotPublished: a secret that anybody can read is none.
func TestSecretsAreNotPublished(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	keys, leftOut, err := tokenauth.ParseSet(set(t, i.jwk("HS256", "a"), i.jwk("EdDSA", "b")), false)
	if err != nil || len(keys) != 1 || keys[0].Algorithm() != tokenauth.EdDSA || len(leftOut) != 1 {
		t.Errorf("%v, left out %v, %v", keys, leftOut, err)
	}
}

func TestParseSetRefuses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	many := make([]map[string]any, 65)
	for n := range many {
		many[n] = i.jwk("EdDSA", "a")
	}
	for want, text := range map[string]string{
		"not a JSON Web Key Set": "<html>", `no "keys"`: `{"error":"x"}`, "keys; the limit is 64": string(set(t, many...)),
	} {
		if _, _, err := tokenauth.ParseSet([]byte(text), true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
	if keys, leftOut, err := tokenauth.ParseSet([]byte(`{"keys":[]}`), true); err != nil || len(keys)+len(leftOut) != 0 {
		t.Errorf("an empty one: %v, %v, %v", keys, leftOut, err)
	}
}

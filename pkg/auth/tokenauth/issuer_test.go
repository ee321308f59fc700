package tokenauth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
)

const foreign = "https://id.example.org"

// An issuer has a key of each kind and signs tokens with them.
type issuer struct {
	t      *testing.T
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	ed     ed25519.PrivateKey
	secret []byte
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, secret: bytes.Repeat([]byte("s"), tokenauth.MinSecret)}
	var err [3]error
	i.rsa, err[0] = rsa.GenerateKey(rand.Reader, 2048)
	i.ec, err[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, i.ed, err[2] = ed25519.GenerateKey(rand.Reader)
	for _, err := range err {
		if err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// key returns what signs with an algorithm.
func (i *issuer) key(algorithm string) any {
	return map[string]any{tokenauth.HS256: i.secret, tokenauth.RS256: i.rsa, tokenauth.ES256: i.ec, tokenauth.EdDSA: i.ed}[algorithm]
}

// public returns the PEM that checks an algorithm.
func (i *issuer) public(algorithm string) []byte {
	i.t.Helper()
	return publicPEM(i.t, i.key(algorithm).(crypto.Signer).Public())
}

// claims are those of a token that is accepted.
func (i *issuer) claims() jwt.MapClaims { return with(good(), "iss", foreign) }

// token signs claims; kid may be empty.
func (i *issuer) token(algorithm, kid string, claims jwt.MapClaims) string {
	i.t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(i.key(algorithm))
	if err != nil {
		i.t.Fatal(err)
	}
	return s
}

// raw signs header and claims as they are written.
func (i *issuer) raw(header, claims string) string {
	i.t.Helper()
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	signature, err := jwt.SigningMethodEdDSA.Sign(text, i.ed)
	if err != nil {
		i.t.Fatal(err)
	}
	return text + "." + b64(signature)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk returns the public key of an algorithm as a set has it, with changes.
func (i *issuer) jwk(algorithm, kid string, changes ...any) map[string]any {
	k := map[string]any{"kid": kid, "use": "sig", "alg": algorithm}
	switch algorithm {
	case tokenauth.HS256:
		k["kty"], k["k"] = "oct", b64(i.secret)
	case tokenauth.RS256:
		k["kty"], k["n"], k["e"] = "RSA", b64(i.rsa.N.Bytes()), b64(big.NewInt(int64(i.rsa.E)).Bytes())
	case tokenauth.ES256:
		point, err := i.ec.PublicKey.Bytes()
		if err != nil {
			i.t.Fatal(err)
		}
		k["kty"], k["crv"], k["x"], k["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case tokenauth.EdDSA:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", b64(i.ed.Public().(ed25519.PublicKey))
	}
	for c := 0; c < len(changes); c += 2 {
		if k[changes[c].(string)] = changes[c+1]; changes[c+1] == nil {
			delete(k, changes[c].(string))
		}
	}
	return k
}

// set returns a key set.
func set(t *testing.T, keys ...map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": append([]map[string]any{}, keys...)})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// believing returns an authenticator of the issuer's tokens.
func believing(t *testing.T, o tokenauth.Options) *tokenauth.Authenticator {
	t.Helper()
	o.Issuer = foreign
	if o.Clock == nil {
		o.Clock = func() time.Time { return now }
	}
	a, err := tokenauth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parsedSet(t *testing.T, text []byte) tokenauth.Set {
	t.Helper()
	keys, leftOut, err := tokenauth.ParseSet(text, true)
	if err != nil || len(leftOut) > 0 {
		t.Fatal(err, leftOut)
	}
	return keys
}

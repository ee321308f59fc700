package tokenauth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Keys are what tokens are checked with. They are asked concurrently.
type Keys interface {
	// Find returns the keys that may have signed a token which names the key id,
	// maybe an empty one. An error says that this could not be found out.
	Find(ctx context.Context, id string) ([]Key, error)
	// All returns all of them, as they are known. An error says that none are yet.
	All(ctx context.Context) ([]Key, error)
}

// A Set is keys that do not change.
type Set []Key

var _ Keys = Set(nil)

// Find returns the keys of that id. A key without an id may be of any, and a token
// without one is tried with all.
func (s Set) Find(_ context.Context, id string) ([]Key, error) { return s.find(id), nil }

// All returns the set.
func (s Set) All(context.Context) ([]Key, error) { return s, nil }

func (s Set) find(id string) (keys []Key) {
	for _, k := range s {
		if id == "" || k.id == "" || k.id == id {
			keys = append(keys, k)
		}
	}
	return keys
}

// Of returns the keys of one algorithm; of all if none is named.
func (s Set) Of(algorithm string) Set {
	return slices.DeleteFunc(slices.Clone(s), func(k Key) bool { return algorithm != "" && k.algorithm != algorithm })
}

// contains reports whether all keys of another set are in it, by whatever id.
func (s Set) contains(other Set) bool {
	for _, k := range other {
		if !slices.ContainsFunc(s, func(mine Key) bool { return mine.print == k.print }) {
			return false
		}
	}
	return true
}

// maxKeys bounds a set, as each of its keys may be tried with a token.
const maxKeys = 64

// errNoSet says that a text is not a key set at all.
var errNoSet = errors.New("it is not a JSON Web Key Set")

// ParseSet reads a JSON Web Key Set (RFC 7517). Keys that cannot check tokens are
// left out, as section 5 asks for, each with the reason: those of another use or of
// an unknown kind, weak ones, and private ones, which somebody should not have
// published. A secret is taken where secrets says so.
func ParseSet(data []byte, secrets bool) (keys Set, leftOut []error, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch err := json.Unmarshal(data, &set); {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", errNoSet, err)
	case set.Keys == nil:
		return nil, nil, fmt.Errorf(`%w: it has no "keys"`, errNoSet)
	case len(set.Keys) > maxKeys:
		return nil, nil, fmt.Errorf("it has %d keys; the limit is %d", len(set.Keys), maxKeys)
	}
	for i, raw := range set.Keys {
		key, err := parseJWK(raw, secrets)
		if err != nil {
			leftOut = append(leftOut, fmt.Errorf("key %d (kid %q): %w", i+1, key.id, err))
			continue
		}
		keys = append(keys, key)
	}
	return keys, leftOut, nil
}

// A jwk is a JSON Web Key as far as it matters here (RFC 7517 section 4, RFC 7518
// section 6, RFC 8037 section 2).
type jwk struct {
	Kty    string   `json:"kty"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	Kid    string   `json:"kid"`
	Crv    string   `json:"crv"`
	N      octets   `json:"n"`
	E      octets   `json:"e"`
	X      octets   `json:"x"`
	Y      octets   `json:"y"`
	K      octets   `json:"k"`
	D      octets   `json:"d"`
}

// octets are bytes in base64url, in their one form.
type octets []byte

// UnmarshalText decodes them.
func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = base64.RawURLEncoding.Strict().DecodeString(string(text))
	return err
}

// parseJWK returns a key; on an error only its id counts.
func parseJWK(raw json.RawMessage, secrets bool) (Key, error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return Key{id: j.Kid}, err
	}
	key, err := j.key(secrets)
	if err == nil && j.Alg != "" && j.Alg != key.algorithm {
		err = fmt.Errorf("algorithm %q is none for tokens here, or not one of such a key", j.Alg)
	}
	key.id = j.Kid
	return key, err
}

func (j jwk) key(secrets bool) (Key, error) {
	switch {
	case j.Use != "" && j.Use != "sig":
		return Key{}, fmt.Errorf("its use is %q", j.Use)
	case j.KeyOps != nil && !slices.Contains(j.KeyOps, "verify"):
		return Key{}, fmt.Errorf("its operations are %q", j.KeyOps)
	case j.D != nil:
		return Key{}, errors.New("it is a private key, which whoever reads this can sign with")
	}
	switch j.Kty {
	case "RSA":
		return j.rsa()
	case "EC":
		return j.ec()
	case "OKP":
		if j.Crv != "Ed25519" || len(j.X) != ed25519.PublicKeySize {
			return Key{}, errors.New("it is not an Ed25519 key")
		}
		return publicKey(ed25519.PublicKey(j.X))
	case "oct":
		if !secrets {
			return Key{}, errors.New("a secret has no place where others can read it")
		}
		return Secret(j.K)
	}
	return Key{}, fmt.Errorf("its kind %q is unknown", j.Kty)
}

func (j jwk) rsa() (Key, error) {
	e := new(big.Int).SetBytes(j.E)
	if e.BitLen() < 2 || e.BitLen() > 31 || e.Bit(0) == 0 {
		return Key{}, errors.New("its exponent is out of range")
	}
	return publicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(j.N), E: int(e.Int64())})
}

func (j jwk) ec() (Key, error) {
	if j.Crv != "P-256" {
		return Key{}, fmt.Errorf("curve %q; %s needs P-256", j.Crv, ES256)
	}
	if len(j.X) != 32 || len(j.Y) != 32 {
		return Key{}, errors.New("its coordinates are not of the curve's length")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), bytes.Join([][]byte{{4}, j.X, j.Y}, nil))
	if err != nil {
		return Key{}, err
	}
	return publicKey(public)
}

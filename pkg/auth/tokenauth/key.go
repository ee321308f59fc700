package tokenauth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The types of PEM blocks that hold keys in PKCS #8 and PKIX form, as
// "openssl genpkey -algorithm ed25519" and "openssl pkey -pubout" write them.
const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// The algorithms of signatures (RFC 7518 section 3.1, RFC 8037).
const (
	HS256 = "HS256"
	RS256 = "RS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// Algorithms are all of them.
var Algorithms = []string{HS256, RS256, ES256, EdDSA}

const (
	// MinSecret is the length of the shortest secret that is taken, in bytes: that
	// of the hash (RFC 7518 section 3.2).
	MinSecret = 32
	// The sizes of RSA keys that are taken, in bits: shorter ones are weak, longer
	// ones cost too much for what anybody may send.
	minRSA, maxRSA = 2048, 8192
)

// A Key checks tokens of one algorithm, which is the key's and never the token's
// choice. A private one signs them, too.
type Key struct {
	algorithm string
	id        string             // of a key in a set; empty: of none in particular
	verify    any                // as the algorithm of package jwt wants it
	print     string             // tells the key from all others, and cannot be turned back into it
	private   ed25519.PrivateKey // nil: checks only
}

// CanSign reports whether the key is a private one.
func (k Key) CanSign() bool { return k.private != nil }

// Confidential reports whether whoever reads the key can sign with it.
func (k Key) Confidential() bool { return k.CanSign() || k.algorithm == HS256 }

// Algorithm returns the algorithm of the tokens that the key checks.
func (k Key) Algorithm() string { return k.algorithm }

// Secret returns a key of HS256, which its issuer shares with this server.
func Secret(secret []byte) (Key, error) {
	switch {
	case bytes.Contains(secret, []byte("-----BEGIN")):
		// Everybody may know a public key: as a secret it would let everybody in.
		return Key{}, errors.New("token key: a key in PEM form is not a secret")
	case len(secret) < MinSecret:
		return Key{}, fmt.Errorf("token key: a secret of %d bytes; %s needs %d", len(secret), HS256, MinSecret)
	}
	return Key{algorithm: HS256, verify: secret, print: fingerprint(HS256, secret)}, nil
}

// ParseKeys reads keys in PEM form: a public one of RSA, P-256 or Ed25519, or a
// private one of Ed25519, and behind that those which signed before it did.
func ParseKeys(data []byte) (key Key, before Set, err error) {
	for n := 0; n == 0 || len(bytes.TrimSpace(data)) > 0; n++ {
		block, rest := pem.Decode(data)
		if block == nil && n > 0 {
			return Key{}, nil, errors.New("token key: there is something behind the key")
		} else if block == nil {
			return Key{}, nil, errors.New("token key: not in PEM form")
		}
		data = rest
		one, err := parseBlock(block)
		switch {
		case err != nil:
			return Key{}, nil, err
		case n == 0:
			key = one
		case !key.CanSign():
			return Key{}, nil, errors.New("token key: there is something behind the key; several keys of an issuer are a set (jwks)")
		case one.algorithm != EdDSA:
			return Key{}, nil, fmt.Errorf("token key: key %d is of %s, and this server has never signed with one", n+1, one.algorithm)
		default:
			one.private, one.id = nil, keyID(one.verify.(ed25519.PublicKey))
			before = append(before, one)
		}
	}
	return key, before, nil
}

func parseBlock(block *pem.Block) (Key, error) {
	switch block.Type {
	case privateBlock:
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("token key: %w", err)
		}
		if private, ok := parsed.(ed25519.PrivateKey); ok {
			return keyOf(private), nil
		}
		return Key{}, errors.New("token key: a private key that is not Ed25519; where others issue the tokens, their public key is enough")
	case publicBlock:
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("token key: %w", err)
		}
		return publicKey(parsed)
	}
	return Key{}, fmt.Errorf("token key: a PEM block %q; it must be %q or %q", block.Type, publicBlock, privateBlock)
}

// publicKey returns the key of a public half, if it is of a kind and size that is
// taken. The kind decides the algorithm.
func publicKey(public any) (Key, error) {
	switch public := public.(type) {
	case ed25519.PublicKey:
		return Key{algorithm: EdDSA, verify: public, print: fingerprint(EdDSA, public)}, nil
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("token key: curve %s; %s needs P-256", public.Curve.Params().Name, ES256)
		}
		point, err := public.Bytes()
		return Key{algorithm: ES256, verify: public, print: fingerprint(ES256, point)}, err
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSA || bits > maxRSA {
			return Key{}, fmt.Errorf("token key: an RSA key of %d bits; taken are %d to %d", bits, minRSA, maxRSA)
		}
		return Key{algorithm: RS256, verify: public, print: fingerprint(RS256, x509.MarshalPKCS1PublicKey(public))}, nil
	}
	return Key{}, fmt.Errorf("token key: a key of type %T", public)
}

// keyOf returns a key that signs. Its tokens name it, so that each is checked with one
// key however many there were before.
func keyOf(private ed25519.PrivateKey) Key {
	public := private.Public().(ed25519.PublicKey)
	return Key{algorithm: EdDSA, private: private, verify: public, id: keyID(public), print: fingerprint(EdDSA, public)}
}

// fingerprint tells a key from all others, as one of an algorithm or of whoever else it
// is for.
func fingerprint(of string, key []byte) string {
	sum := sha256.Sum256(append([]byte(of+"\x00"), key...))
	return string(sum[:16])
}

func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// LoadOrCreateKeys reads the private key in a file, and those before it; where there
// is none it makes one, which from then on is this server's own. Of several processes
// that start together all get the same key. The file is its owner's alone: a key that
// others could have read is refused.
func LoadOrCreateKeys(path string) (key Key, before Set, err error) {
	key, before, err = LoadKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createKey(path); err != nil {
			return Key{}, nil, fmt.Errorf("token key: %w", err)
		}
		return LoadKeys(path)
	}
	return key, before, err
}

// LoadKeys is LoadOrCreateKeys for a file that must be there.
func LoadKeys(path string) (key Key, before Set, err error) {
	data, err := readPrivate(path)
	if err != nil {
		return Key{}, nil, fmt.Errorf("token key: %w", err)
	}
	key, before, err = ParseKeys(data)
	if err != nil {
		return Key{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	if !key.CanSign() {
		return Key{}, nil, fmt.Errorf("%s: token key: it is a public key, and the server's own must be private", path)
	}
	return key, before, nil
}

func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %#o, so that others can read it: make a new key, or chmod 600 if nobody has", path, mode)
	}
	return os.ReadFile(path)
}

// createKey puts a fresh key in its place, unless there is one by now.
func createKey(path string) error {
	return putKey(path, nil, func(fresh string) error {
		if err := os.Link(fresh, path); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// RotateKey puts a fresh key in front of the one in a file, whose tokens stay good
// until they end or the key is rotated again. The file's owner stays its owner.
func RotateKey(path string) error {
	key, _, err := LoadKeys(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return putKey(path, key.verify, func(fresh string) error {
		owner := info.Sys().(*syscall.Stat_t) // as on all that is Linux
		if err := os.Chown(fresh, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
		return os.Rename(fresh, path)
	})
}

// putKey writes a fresh key, and the public half of the one before it, under a name of
// their own, and has them put in their place once they are on the disk: so there is
// never half a key there.
func putKey(path string, before any, put func(fresh string) error) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der})
	if before != nil {
		if der, err = x509.MarshalPKIXPublicKey(before); err != nil {
			return err
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der})...)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".token-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(put(f.Name()), syncFolder(dir))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

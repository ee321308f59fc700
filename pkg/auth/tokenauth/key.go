package tokenauth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The types of PEM blocks that hold keys in PKCS #8 and PKIX form, as
// "openssl genpkey -algorithm ed25519" and "openssl pkey -pubout" write them.
const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// A Key checks tokens and, if it is a private one, signs them.
type Key struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey // nil: checks only
}

// CanSign reports whether the key is a private one.
func (k Key) CanSign() bool { return k.private != nil }

// ParseKey reads an Ed25519 key in PEM form, private or public.
func ParseKey(data []byte) (Key, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return Key{}, errors.New("token key: not in PEM form")
	case len(bytes.TrimSpace(rest)) > 0:
		return Key{}, errors.New("token key: there is something behind the key")
	}
	switch block.Type {
	case privateBlock:
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("token key: %w", err)
		}
		if private, ok := parsed.(ed25519.PrivateKey); ok {
			return keyOf(private), nil
		}
	case publicBlock:
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("token key: %w", err)
		}
		if public, ok := parsed.(ed25519.PublicKey); ok {
			return Key{public: public}, nil
		}
	}
	return Key{}, fmt.Errorf("token key: a PEM block %q that is not an Ed25519 key", block.Type)
}

func keyOf(private ed25519.PrivateKey) Key {
	return Key{private: private, public: private.Public().(ed25519.PublicKey)}
}

// LoadOrCreateKey reads the private key in a file; where there is none it makes
// one, which from then on is this server's own. Of several processes that start
// together all get the same key. The file is its owner's alone: a key that
// others could have read is refused.
func LoadOrCreateKey(path string) (Key, error) {
	data, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createKey(path); err == nil {
			data, err = readPrivate(path)
		}
	}
	if err != nil {
		return Key{}, fmt.Errorf("token key: %w", err)
	}
	key, err := ParseKey(data)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	if !key.CanSign() {
		return Key{}, fmt.Errorf("%s: token key: it is a public key, and the server's own must be private", path)
	}
	return key, nil
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

// createKey writes a fresh key under a name of its own and links it to its
// place once it is on the disk, so that there is never half a key, nor a second
// one in place of a first.
func createKey(path string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".token-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = errors.Join(pem.Encode(f, &pem.Block{Type: privateBlock, Bytes: der}), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

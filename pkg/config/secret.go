package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Secret is where something that must not stand in a configuration file is
// kept: "file:PATH", or "credential:NAME" for what systemd's LoadCredential
// provides. The zero Secret is none.
type Secret struct{ reference, path string }

// ErrNoCredentials is why a credential cannot be read outside of its unit.
var ErrNoCredentials = errors.New("$CREDENTIALS_DIRECTORY is not set")

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.reference == "" }

// String returns the reference, never what it refers to.
func (s Secret) String() string { return s.reference }

// Read returns the secret as it is now, without the newline at its end.
func (s Secret) Read() ([]byte, error) {
	if s.path == "" {
		return nil, fmt.Errorf("read secret %q: %w", s.reference, ErrNoCredentials)
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, fmt.Errorf("read secret %q: %w", s.reference, err)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r")), nil
}

// Shared reports whether everybody on this host can read it, or change it.
func (s Secret) Shared() (bool, error) {
	info, err := os.Stat(s.path)
	return err == nil && info.Mode().Perm()&0o007 != 0, err
}

// secret reads a reference and checks that it leads to a file. A credential is
// looked for only where systemd says where: `orbitd check` runs without.
func (t *table) secret(key string) Secret {
	return t.reference(key, t.text(key, "", "file:/etc/orbitd/"+key))
}

// reference is secret for a text that was read.
func (t *table) reference(key, s string) Secret {
	if s == "" {
		return Secret{}
	}
	kind, name, _ := strings.Cut(s, ":")
	switch {
	case kind == "file" && name != "":
		path := t.doc.absolute(name)
		t.readable(key, path)
		return Secret{s, path}
	case kind == "credential" && name != "" && !strings.Contains(name, "/"):
		dir := t.doc.env("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return Secret{reference: s}
		}
		t.readable(key, filepath.Join(dir, name))
		return Secret{s, filepath.Join(dir, name)}
	}
	t.fail(key, `write "file:PATH", or "credential:NAME" for one of systemd's LoadCredential`,
		"a secret does not stand here itself")
	return Secret{}
}

// file reads the path of a file that must be readable; "" if there is none.
func (t *table) file(key, example string) string {
	path := t.doc.absolute(t.text(key, "", example))
	if path != "" {
		t.readable(key, path)
	}
	return path
}

// readable notes that a file is named, and reports one that cannot be read, or that
// anybody may have changed: each decides who gets in.
func (t *table) readable(key, path string) {
	t.named(key, path)
	if err := tryRead(path); err != nil {
		t.fail(key, "create the file, make it readable for orbitd, or correct the path", "cannot read %s: %v", path, err)
		return
	}
	t.unchanged(key, path)
}

// unchanged reports a file that everybody can change.
func (t *table) unchanged(key, path string) {
	if info, err := os.Stat(path); err == nil && changeable(info) {
		t.fail(key, hintChangeable, "%s: %v", path, errChangeable)
	}
}

// private warns of a file with a secret that everybody can read.
func (t *table) private(key, path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		t.warn(key, "chmod o-r, and make a new one if somebody may have read it", "everybody on this host can read %s", path)
	}
}

var errChangeable = errors.New("everybody on this host can change it")

const hintChangeable = "chmod o-w, when you have seen that nobody has changed it"

func changeable(info fs.FileInfo) bool { return info.Mode().Perm()&0o002 != 0 }

// tryRead returns why a file cannot be read, without its path.
func tryRead(path string) error {
	switch info, err := os.Stat(path); {
	case err != nil:
		return cause(err)
	case info.IsDir():
		return errors.New("it is a directory")
	case !info.Mode().IsRegular(): // to open a FIFO would wait for its writer
		return errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return cause(err)
	}
	return f.Close()
}

// cause returns what was wrong with a file without saying which it was.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// absolute returns a path as the file means it: relative ones start at the
// folder in which it stands.
func (d *document) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

package daemon_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A key that signs, a shared secret as well, and that everybody on the host could have
// read is none, and what cannot be relied on to know who has logged out lets nobody in.
func TestKeysAndLoginsAreTrustworthy(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	s := &site{t: t, folder: t.TempDir()}
	s.write("signing.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	refused := func(want string) {
		t.Helper()
		err := s.start(nil)
		if err == nil {
			must(t, s.Stop(t.Context()))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("started: %v, want %q", err, want)
		}
	}
	for name, c := range map[string]struct{ text, auth string }{
		"secret":    {strings.Repeat("s", 32), `key = "file:secret"` + "\nalgorithm = \"HS256\""},
		"jwks.json": {`{"keys":[{"kty":"oct","k":"` + strings.Repeat("A", 43) + `"}]}`, `jwks = "file:jwks.json"`},
	} {
		s.write(name, c.text)
		s.write("orbitd.toml", server+small+open+"[[auth]]\ntype = \"token\"\nissuer = \"https://id.example\"\n"+c.auth+"\n")
		must(t, os.Chmod(filepath.Join(s.folder, name), 0o644))
		refused("file:" + name + ": everybody on this host can read or change it")
		must(t, os.Chmod(filepath.Join(s.folder, name), 0o640))
		must(t, s.start(nil))
		must(t, s.Stop(t.Context()))
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	must(t, err)
	s.write("public.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	s.write("orbitd.toml", server+small+open+"[[auth]]\ntype = \"token\"\nissuer = \"https://id.example\"\nkey = \"file:public.pem\"\n")
	must(t, os.Chmod(filepath.Join(s.folder, "public.pem"), 0o666))
	refused("public.pem: everybody on this host can change it")
	must(t, os.Chmod(filepath.Join(s.folder, "public.pem"), 0o644))
	must(t, s.start(nil))
	must(t, s.Stop(t.Context()))
	s.write("orbitd.toml", server+small+open+"[[auth]]\ntype = \"token\"\nkey = \"file:signing.pem\"\n")
	path := filepath.Join(s.folder, "signing.pem")
	must(t, os.Chmod(path, 0o644))
	refused("file:signing.pem: everybody on this host can read or change it\n    hint: make a new key, or chmod o-rwx")
	must(t, os.Chmod(path, 0o640))
	must(t, s.start(nil))
	must(t, s.Stop(t.Context()))
	s.write("engine/logins", "nonsense\n{\"login\":\"A\",\"until\":4000000000,\"ended\":true}\n")
	refused("line 1: the line is damaged")
	refused("hint: restore the file; or remove it, and with it the key that signs")
	s.write("engine/logins", "{\"login\":\"A\",\"until\":4000000000,\"ended\":true}\n{\"log")
	must(t, s.start(nil))
	must(t, s.Stop(t.Context()))
}

package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/config"
)

// TestFilesThatEverybodyMayChange: what decides who gets in is not for everybody on the
// host to write; that they can read a secret is told, and stops no upgrade.
func TestFilesThatEverybodyMayChange(t *testing.T) {
	folder := t.TempDir()
	for name, from := range map[string]string{"cert.pem": "testdata/tls/cert.pem", "key.pem": "testdata/tls/key.pem"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, name), string(text))
	}
	for _, name := range []string{"users", "public.pem", "set.json", "set-ca.pem", "ldap-ca.pem", "password", "clients.pem", "clients.crl"} {
		write(t, filepath.Join(folder, name), "")
	}
	if err := os.Mkdir(filepath.Join(folder, "apps.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "apps.d", "chat.toml"), "")
	write(t, filepath.Join(folder, "orbitd.toml"), `
tls = { certificate = "cert.pem", key = "key.pem", client_ca = "clients.pem", client_crl = "clients.crl" }
auth = [
	{ type = "file", path = "users" },
	{ type = "token", key = "file:public.pem" },
	{ type = "token", name = "set", jwks = "file:set.json" },
	{ type = "token", name = "url", jwks = "https://id.example.org/", issuer = "a", jwks_ca = "set-ca.pem" },
	{ type = "ldap", urls = ["ldaps://a.example.org"], user_base = "dc=a", bind_dn = "cn=a", bind_password = "file:password", ca = "ldap-ca.pem" },
]
`)
	load := func(name string, mode os.FileMode) (*config.Config, error) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c, err := config.LoadWith(filepath.Join(folder, "orbitd.toml"), config.Options{Getenv: environment(nil)})
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		return c, err
	}
	for _, name := range []string{"key.pem", "password"} {
		c, err := load(name, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if told := c.Warnings.Error(); !strings.Contains(told, "everybody on this host can read "+filepath.Join(folder, name)) {
			t.Errorf("%s that everybody can read: told %q", name, told)
		}
	}
	if c, err := load("users", 0o644); err != nil || len(c.Warnings) > 0 || len(c.Disabled) > 0 {
		t.Errorf("as it should be: %v, %v", err, c)
	}
	for _, name := range []string{
		"orbitd.toml", "users", "cert.pem", "key.pem", "public.pem", "set.json", "set-ca.pem", "ldap-ca.pem", "password", "clients.pem", "clients.crl",
	} {
		if _, err := load(name, 0o666); err == nil || !strings.Contains(err.Error(), "everybody on this host can change it\n    hint: chmod o-w") {
			t.Errorf("%s that everybody can change: %v", name, err)
		}
	}
	if c, err := load("apps.d/chat.toml", 0o666); err != nil || len(c.Disabled) != 1 {
		t.Errorf("an application's file: %v, disabled %v", err, c.Disabled)
	}
}

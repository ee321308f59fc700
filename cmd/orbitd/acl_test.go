package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/tests/slapd"
)

// TestACLOfADirectory: the groups are the directory's, and the way is told: who
// found them, which, by what rule, of which file and line.
func TestACLOfADirectory(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	t.Chdir(t.TempDir())
	write(t, "password", slapd.ServicePassword+"\n")
	write(t, "users", "")
	write(t, "orbitd.toml", fmt.Sprintf(`[[auth]]
type = "file"
path = "users"

[[auth]]
type          = "ldap"
urls          = [%q]
ca            = %q
bind_dn       = %q
bind_password = "file:password"
user_base     = %q
group_base    = %q

[[channel]]
match     = "/desk/**"
subscribe = ["group:traders"]

[[channel]]
match     = "/admin/**"
subscribe = ["group:cn=admins,%s"]
`, s.Plain, s.CA, slapd.Service, slapd.People, slapd.Groups, slapd.Groups))
	for _, tc := range []struct {
		args string
		code int
		want []string
	}{
		{"--user bob subscribe /desk/1", 0, []string{
			"ALLOWED: subscribe /desk/1 for bob (groups cn=traders," + slapd.Groups + ", ",
			`found by auth "ldap", orbitd.toml:5`,
			`decided by orbitd.toml:14: channel "/desk/**", subscribe = ["group:traders"]`,
		}},
		{"--user carol subscribe /desk/1", 1, []string{"FORBIDDEN: subscribe /desk/1 for carol (groups cn=everyone,", `found by auth "ldap", orbitd.toml:5`}},
		{"--user alice subscribe /admin/1", 0, []string{"decided by orbitd.toml:18", "passed over orbitd.toml:14"}},
		{"--user alice --json subscribe /admin/1", 0, []string{`"auth":"auth \"ldap\", orbitd.toml:5"`, `"admins"`}},
		{"--user nobody subscribe /desk/1", 1, []string{"knows nobody; give the groups with --group"}},
	} {
		said, code := command(t, strings.Fields("acl -c orbitd.toml "+tc.args)...)
		for _, want := range tc.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s says\n%s\nand not %q", tc.args, said, want)
			}
		}
		if code != tc.code {
			t.Errorf("%s: exit code %d", tc.args, code)
		}
	}
	if said, code := command(t, "check", "-c", "orbitd.toml"); code != 0 {
		t.Errorf("check: %s", said)
	}
	s.Stop()
	if said, code := command(t, strings.Fields("acl -c orbitd.toml --user bob subscribe /desk/1")...); code != 1 || !strings.Contains(said, `auth "ldap": `) {
		t.Errorf("without a directory: %d, %s", code, said)
	}
	write(t, "orbitd.toml", strings.Replace(read(t, "orbitd.toml"), "user_base ", "user_filter = \"(uid={user}\"\nuser_base ", 1))
	if said, code := command(t, "check", "-c", "orbitd.toml"); code != 1 || !strings.Contains(said, "orbitd.toml:5: auth \"ldap\": \"(uid={user}\" is not a filter") {
		t.Errorf("check: %d, %s", code, said)
	}
}

// command runs orbitd in this process.
func command(t *testing.T, args ...string) (said string, code int) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	if coded, ok := errors.AsType[*exitError](err); ok {
		if coded.err != nil {
			fmt.Fprintln(&out, coded.err)
		}
		return out.String(), coded.code
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), 0
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Clean(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

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
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	write(t, "password", slapd.ServicePassword+"\n")
	write(t, "users", "")
	write(t, "orbitd.toml", fmt.Sprintf(`[[auth]]
type = "file"
path = "users"

%s
[[channel]]
match     = "/desk/**"
subscribe = ["group:traders"]

[[channel]]
match     = "/admin/**"
subscribe = ["group:cn=admins,%s"]
`, s.Section("password", `nested = "recursive"`), slapd.Groups))
	s.Set(slapd.Person("dave"), "pwdAccountLockedTime", "000001010000Z")
	var way strings.Builder
	for _, args := range []string{
		"--user bob subscribe /desk/1",
		"--user BOB subscribe /desk/1",
		"--user carol subscribe /desk/1",
		"--user alice subscribe /admin/1",
		"--user alice publish /admin/1",
		"--user alice subscribe /elsewhere",
		"--user alice --json subscribe /admin/1",
		"--user alice --group traders subscribe /admin/1",
		"subscribe /desk/1",
		"--user nobody subscribe /desk/1",
		"--user twin subscribe /desk/1",
		"--user dave subscribe /desk/1",
		"--user * subscribe /desk/1",
	} {
		said, code := command(t, append([]string{"acl", "-c", "orbitd.toml"}, strings.Fields(args)...)...)
		fmt.Fprintf(&way, "$ orbitd acl %s\n%s# exit %d\n\n", args, said, code)
	}
	compare(t, filepath.Join(folder, "testdata", "acl.golden"), way.String())
	if said, code := command(t, "check", "-c", "orbitd.toml"); code != 0 {
		t.Errorf("check: %s", said)
	}
	s.Stop()
	if said, code := command(t, strings.Fields("acl -c orbitd.toml --user bob subscribe /desk/1")...); code != 1 || !strings.Contains(said, `auth "ldap", orbitd.toml:5: `) {
		t.Errorf("without a directory: %d, %s", code, said)
	}
	write(t, "orbitd.toml", strings.Replace(read(t, "orbitd.toml"), "user_base ", "user_filter = \"(uid={user}\"\nuser_base ", 1))
	if said, code := command(t, "check", "-c", "orbitd.toml"); code != 1 || !strings.Contains(said, "orbitd.toml:5: auth \"ldap\": \"(uid={user}\" is not a filter") {
		t.Errorf("check: %d, %s", code, said)
	}
}

// compare compares with a golden file, or writes it anew with -update.
func compare(t *testing.T, golden, said string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(said), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, golden); said != want {
		t.Errorf("it says something else than %s (write it anew with -update):\n%s", golden, said)
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

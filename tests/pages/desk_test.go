package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/tests/scene"
	"github.com/orbitd/orbitd/tests/slapd"
)

// A new administrator follows README, from a directory to a page that the group traders
// alone can read: the lines are those that stand there, those for a directory with an
// authority of its own included. Only where the directory is differs. Who leaves the
// group sees the page cut off within refresh.
func TestDesk(t *testing.T) {
	installed(t)
	directory := slapd.Start(t, slapd.Options{})
	d := scene.NewDaemon(t, "")
	const server = `
[server]
http    = %q
ops     = ""
control = %q

[engine]
path     = "engine"
min_free = "16MiB"
`
	must(t, os.WriteFile(d.File("orbitd.toml"), []byte(lines(t, directory.Secure)+fmt.Sprintf(server, d.Address, d.File("control.sock"))), 0o600))
	must(t, os.WriteFile(d.File("ldap-password"), []byte(slapd.ServicePassword), 0o600))
	ca, err := os.ReadFile(directory.CA)
	must(t, err)
	must(t, os.WriteFile(d.File("ldap-ca.pem"), ca, 0o600))
	d.Start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d.Ready(ctx)

	say := func(text string) {
		r, err := http.NewRequestWithContext(ctx, "POST", d.URL()+"/v1/publish/desk/1", strings.NewReader(fmt.Sprintf(`{"text":%q}`, text)))
		must(t, err)
		r.SetBasicAuth("alice", "alice-secret")
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		must(t, answer.Body.Close())
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("a publish: %s", answer.Status)
		}
	}
	acl := func(want string) {
		// As README has it, but for where the configuration is.
		words := strings.Fields(strings.Split(section(t, "`orbitd acl --user alice"), "`")[1])
		out, _ := exec.CommandContext(ctx, d.Binary, append(words[1:], "-c", d.File("orbitd.toml"))...).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("%s says\n%s", words, out)
		}
	}
	acl("ALLOWED: subscribe /desk/1 for alice (groups admins,")
	say("before")
	var left time.Time
	play(ctx, t, "", "desk.js", []string{strings.Replace(d.URL(), "127.0.0.1", "localhost", 1)}, map[string]func(){
		"at the desk": func() { say("now") },
		"has read": func() {
			directory.Leave(slapd.Group("traders"), slapd.Person("bob"))
			left = time.Now()
		},
		"cut off": func() {
			t.Logf("the page is cut off %.2f s after bob has left the group, with README's refresh", time.Since(left).Seconds())
			say("later")
		},
	})
	directory.Join(slapd.Group("traders"), slapd.Person("carol")) // there must be somebody
	directory.Leave(slapd.Group("traders"), slapd.Person("alice"))
	acl("FORBIDDEN: subscribe /desk/1 for alice (groups admins,")
}

// lines returns README's configuration for a directory at url. Each line is one of README,
// and but for that of the URL none is changed.
func lines(t *testing.T, url string) string {
	t.Helper()
	const example = `"ldaps://ldap.example.org"`
	text, typed := block(t, "for the group", "```toml\n"), "\ntype          = \"ldap\"\n"
	if n := strings.Count(strings.TrimSpace(text), "\n") + 1; n != 10 {
		t.Errorf("README has %d lines for it; ten are enough", n)
	}
	before, behind, found := strings.Cut(text, typed)
	if !found || strings.Count(text, example) != 1 {
		t.Fatalf("README's lines are for another directory:\n%s", text)
	}
	more := block(t, "below the first `type`", "```toml\n")
	return before + typed + more + strings.Replace(behind, example, strconv.Quote(url), 1)
}

// block returns the first block of README that begins so, from a text on.
func block(t *testing.T, from, begin string) string {
	t.Helper()
	_, rest, found := strings.Cut(section(t, from), begin)
	text, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("README has no block %q behind %q", begin, from)
	}
	return text
}

// section returns README from a text on.
func section(t *testing.T, begin string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	must(t, err)
	_, rest, found := strings.Cut(string(text), begin)
	if !found {
		t.Fatalf("README does not have %q", begin)
	}
	return begin + rest
}

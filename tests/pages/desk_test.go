package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/tests/scene"
	"github.com/orbitd/orbitd/tests/slapd"
)

// A new administrator follows README, from a directory to a page that the group traders
// alone can read: the lines are those that stand there, and where they must differ is
// said here. Who leaves the group sees the page cut off within refresh.
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
	text := strings.NewReplacer(
		"ldaps://ldap.example.org", directory.Secure,
		"/etc/orbitd/ldap-password", d.File("password"),
		`type          = "ldap"`, fmt.Sprintf("type = \"ldap\"\nrefresh = \"1s\"\nca = %q", directory.CA),
	).Replace(block(t, "```toml\n"))
	must(t, os.WriteFile(d.File("orbitd.toml"), []byte(text+fmt.Sprintf(server, d.Address, d.File("control.sock"))), 0o600))
	must(t, os.WriteFile(d.File("password"), []byte(slapd.ServicePassword), 0o600))
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
			t.Logf("the page is cut off %.2f s after bob has left the group, with a refresh of 1 s", time.Since(left).Seconds())
			say("later")
		},
	})
	directory.Join(slapd.Group("traders"), slapd.Person("carol")) // there must be somebody
	directory.Leave(slapd.Group("traders"), slapd.Person("alice"))
	acl("FORBIDDEN: subscribe /desk/1 for alice (groups admins,")
}

// block returns the first block of README that begins so.
func block(t *testing.T, begin string) string {
	t.Helper()
	text, _, _ := strings.Cut(section(t, begin)[len(begin):], "```")
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

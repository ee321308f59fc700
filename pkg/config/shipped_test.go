package config_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/config"
)

const shipped = "../../etc/orbitd.toml"

// TestShipped: as the package installs it, nothing is allowed.
func TestShipped(t *testing.T) {
	c, err := config.Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Auth) != 2 || len(c.Rules) != 0 {
		t.Errorf("%d authenticators, %d rules", len(c.Auth), len(c.Rules))
	}
	for _, name := range []channel.Name{"/chat", "/chat/lobby", "/$sys/x"} {
		for _, action := range []acl.Action{acl.Subscribe, acl.Publish} {
			if d := c.Policy.Decide(acl.Subject{User: "root", Groups: []string{"root"}}, action, name); d.Allowed {
				t.Errorf("%s %s is allowed", action, name)
			}
		}
	}
	if _, err := config.Parse("orbitd.toml", nil, config.Options{}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

// TestShippedShowsEveryKey takes the comment signs off: what then stands there
// is right but for files that this machine does not have, and has every key.
func TestShippedShowsEveryKey(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	full := regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(string(text), "$1")
	_, err = config.Parse("orbitd.toml", []byte(full), config.Options{Dir: "/nowhere"})
	problems, _ := errors.AsType[config.Problems](err)
	if len(problems) == 0 {
		t.Errorf("with all keys, and files that are not there: %v", err)
	}
	for _, p := range problems {
		if !strings.Contains(p.Text, "cannot read") {
			t.Errorf("with all keys: %v", p)
		}
	}
	for _, key := range knownKeys(t) {
		if !regexp.MustCompile(`(?m)^#?(\[+)?(.*\{ .*)?` + key + `\b`).MatchString(string(text)) {
			t.Errorf("key %s is missing", key)
		}
	}
}

// knownKeys asks for them: the hint about an unknown key lists the known ones.
func knownKeys(t *testing.T) (keys []string) {
	const unknown = "an-unknown-key-that-is-like-no-other = 1\n"
	for _, text := range []string{
		unknown, "[server]\n" + unknown, "[tls]\n" + unknown, "[engine]\n" + unknown, "[session]\n" + unknown, "[log]\n" + unknown,
		"[[auth]]\ntype = \"file\"\n" + unknown, "[[auth]]\ntype = \"token\"\n" + unknown, "[[auth]]\ntype = \"ldap\"\n" + unknown, "[[auth]]\ntype = \"certificate\"\n" + unknown,
		"[app.chat]\n" + unknown, "[app.chat.quota]\n" + unknown, "[[channel]]\nmatch = \"/x\"\n" + unknown, "[channel.retain]\n" + unknown,
	} {
		if strings.HasPrefix(text, "[channel.") {
			text = "[[channel]]\nmatch = \"/x\"\n" + text
		}
		_, err := config.Parse("orbitd.toml", []byte(text), config.Options{})
		_, list, found := strings.Cut(err.Error(), "hint: known here: ")
		if !found {
			t.Fatalf("%s: %v", text, err)
		}
		list, _, _ = strings.Cut(list, "\n")
		keys = append(keys, strings.Split(list, ", ")...)
	}
	return keys
}

// TestProtocolLimits compares the limits of PROTOCOL.md with the defaults.
func TestProtocolLimits(t *testing.T) {
	text, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `session\\.(\\w+)`[^|]*\\| (\\w+) \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) < 9 {
		t.Fatalf("PROTOCOL.md names %d limits", len(rows))
	}
	file := "[session]\n"
	for _, row := range rows {
		value := row[2]
		if strings.TrimLeft(value, "0123456789") != "" {
			value = `"` + value + `"`
		}
		file += row[1] + " = " + value + "\n"
	}
	told, err := config.Parse("orbitd.toml", []byte(file), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := config.Parse("orbitd.toml", nil, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if told.Session != empty.Session {
		t.Errorf("PROTOCOL.md says %+v\nand it is %+v", told.Session, empty.Session)
	}
}

func TestDemo(t *testing.T) {
	c, err := config.Load("../../etc/demo.toml")
	if err != nil {
		t.Fatal(err)
	}
	alice := acl.Subject{User: "alice", Groups: []string{"editors"}}
	bob := acl.Subject{User: "bob"}
	for _, tc := range []struct {
		who     acl.Subject
		action  acl.Action
		name    channel.Name
		allowed bool
	}{
		{acl.Subject{}, acl.Subscribe, "/chat/lobby", true},
		{acl.Subject{}, acl.Publish, "/chat/lobby", true},
		{acl.Subject{}, acl.Subscribe, "/news/today", true},
		{acl.Subject{}, acl.Publish, "/news/today", false},
		{bob, acl.Publish, "/news/today", false},
		{alice, acl.Publish, "/news/today", true},
		{alice, acl.Subscribe, "/inbox/alice", true},
		{alice, acl.Subscribe, "/inbox/bob", false},
		{alice, acl.Publish, "/inbox/bob", true},
		{acl.Subject{}, acl.Publish, "/inbox/bob", false},
	} {
		if d := c.Policy.Decide(tc.who, tc.action, tc.name); d.Allowed != tc.allowed {
			t.Errorf("%q %s %s: %t, %s", tc.who.User, tc.action, tc.name, d.Allowed, d.Reason)
		}
	}
}

func channelName(t *testing.T, s string) channel.Name {
	t.Helper()
	name, err := channel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func appNames(c *config.Config) (names []string) {
	for _, a := range c.Apps {
		names = append(names, a.Name)
	}
	return names
}

package channel_test

import (
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
)

func TestParse(t *testing.T) {
	long := "/" + strings.Repeat("a", channel.MaxLength-1)
	for _, tc := range []struct {
		name string
		err  string // part of the error; empty: none
	}{
		{"/chat", ""},
		{"/chat/lobby", ""},
		{"/a/b/c/d/e/f/g", ""},
		{"/-_.~@:+=,!", ""},
		{"/$sys/stats", ""},
		{"/chat/$members", ""},
		{"/...", ""},
		{"/.hidden", ""},
		{long, ""},
		{long + "a", "255"},
		{"", `begin with "/"`},
		{"chat", `begin with "/"`},
		{"/", "segment is empty"},
		{"//chat", "segment is empty"},
		{"/chat/", "segment is empty"},
		{"/chat//lobby", "segment is empty"},
		{"/chat/.", "not a segment"},
		{"/chat/../news", "not a segment"},
		{"/chat/a$b", "not allowed"},
		{"/chat/*", "not allowed"},
		{"/chat/{user}", "not allowed"},
		{"/chat/a b", "not allowed"},
		{"/chat/%2e%2e", "not allowed"},
		{"/chat/a\x00b", "not allowed"},
		{"/chat/a\r\nb", "not allowed"},
		{"/chat/é", "not allowed"},
		{"/chat/\xff", "not allowed"},
		{"/chat/a?b", "not allowed"},
		{"/chat/a#b", "not allowed"},
		{`/chat/a\b`, "not allowed"},
	} {
		name, err := channel.Parse(tc.name)
		switch {
		case tc.err == "" && (err != nil || string(name) != tc.name):
			t.Errorf("Parse(%q) = %q, %v", tc.name, name, err)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("Parse(%q): error %v, want one with %q", tc.name, err, tc.err)
		}
	}
}

func TestName(t *testing.T) {
	for _, tc := range []struct {
		name     channel.Name
		app      string
		reserved bool
	}{
		{"/chat", "chat", false},
		{"/chat/lobby/x", "chat", false},
		{"/$sys/stats", "$sys", true},
		{"/chat/$members", "chat", true},
	} {
		if app := tc.name.App(); app != tc.app {
			t.Errorf("%s: app %q, want %q", tc.name, app, tc.app)
		}
		if r := tc.name.Reserved(); r != tc.reserved {
			t.Errorf("%s: reserved %t, want %t", tc.name, r, tc.reserved)
		}
	}
}

func TestDead(t *testing.T) {
	long := channel.Name("/" + strings.Repeat("x", channel.MaxLength-1-len("/$dead")))
	for name, want := range map[channel.Name]channel.Name{
		"/chat": "/chat/$dead", "/chat/lobby": "/chat/lobby/$dead", "/chat/$dead/x": "/chat/$dead/x/$dead", long: long + "/$dead",
		long + "y": "", "/chat/$dead": "", "/chat/lobby/$dead": "",
	} {
		dead, ok := name.Dead()
		if dead != want || ok != (want != "") {
			t.Errorf("%s: %s, %v", name, dead, ok)
		}
		if living, ok := dead.Living(); want != "" && (living != name || !ok) {
			t.Errorf("%s is of %s, %v", dead, living, ok)
		}
	}
	for _, name := range []channel.Name{"/$dead", "/chat", "/chat/x$dead"} {
		if living, ok := name.Living(); ok {
			t.Errorf("%s is of %s", name, living)
		}
	}
}

package acl_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
)

var (
	anonymous = acl.Subject{}
	alice     = acl.Subject{User: "alice", Groups: []string{"editors", "staff"}}
	bob       = acl.Subject{User: "bob"}
)

func TestParsePrincipal(t *testing.T) {
	for _, s := range []string{"*", "@authenticated", "self", "token", "user:alice", "group:editors", "group:cn=apps,ou=groups,dc=example,dc=org", "user:a:b", "user:self"} {
		p, err := acl.ParsePrincipal(s)
		if err != nil || p.String() != s {
			t.Errorf("ParsePrincipal(%q) = %q, %v", s, p, err)
		}
	}
	for s, hint := range map[string]string{
		"":           "empty list",
		"alice":      `"user:alice" or "group:alice"`,
		"@all":       `"@authenticated"`,
		"user:":      `"user:NAME"`,
		"group:":     `"group:NAME"`,
		"user:*":     `"@authenticated"`,
		"role:admin": `"group:NAME"`,
		"user:a\nb":  "remove",
		"Self":       `"user:Self"`,
	} {
		_, err := acl.ParsePrincipal(s)
		m, ok := errors.AsType[*acl.Mistake](err)
		if !ok || m.Text == "" || !strings.Contains(m.Hint, hint) {
			t.Errorf("ParsePrincipal(%q): %+v, want a hint with %q", s, err, hint)
		}
	}
}

func TestDecide(t *testing.T) {
	p := compile(t,
		rule(t, 1, "/chat/secret", "user:alice", ""),
		rule(t, 2, "/chat/**", "*", "@authenticated"),
		rule(t, 3, "/news/**", "*", "group:editors user:bob"),
		rule(t, 4, "/inbox/{user}", "self", "group:staff"),
		rule(t, 5, "/*/all", "@authenticated", "*"),
		rule(t, 6, "/chat/never", "*", "*"),
		rule(t, 7, "/room/*", "token", "user:alice"),
	)
	for _, tc := range []struct {
		who    acl.Subject
		action acl.Action
		name   channel.Name
		line   int // 0: no rule
		reason acl.Reason
	}{
		{anonymous, acl.Subscribe, "/chat/lobby", 2, acl.ByAnyone},
		{anonymous, acl.Publish, "/chat/lobby", 2, acl.NotListed},
		{bob, acl.Publish, "/chat/lobby", 2, acl.ByAuthenticated},
		{alice, acl.Subscribe, "/chat/secret", 1, acl.ByUser},
		{bob, acl.Subscribe, "/chat/secret", 1, acl.NotListed},
		{alice, acl.Publish, "/chat/secret", 1, acl.NotListed},
		{anonymous, acl.Publish, "/chat/never", 2, acl.NotListed},
		{alice, acl.Publish, "/news/today", 3, acl.ByGroup},
		{bob, acl.Publish, "/news/today", 3, acl.ByUser},
		{alice, acl.Subscribe, "/inbox/alice", 4, acl.BySelf},
		{alice, acl.Subscribe, "/inbox/bob", 4, acl.NotListed},
		{alice, acl.Publish, "/inbox/bob", 4, acl.ByGroup},
		{anonymous, acl.Subscribe, "/inbox/bob", 4, acl.NotListed},
		{anonymous, acl.Publish, "/other/all", 5, acl.ByAnyone},
		{anonymous, acl.Publish, "/inbox/all", 4, acl.NotListed},
		{alice, acl.Subscribe, "/chat", 0, acl.NoRule},
		{alice, acl.Subscribe, "/nothing", 0, acl.NoRule},
		{alice, acl.Subscribe, "/chat/$members", 0, acl.NoRule},
		{alice, acl.Subscribe, "/$sys/all", 0, acl.NoRule},
		{acl.Subject{Groups: []string{"staff"}}, acl.Publish, "/inbox/bob", 4, acl.NotListed},
		{acl.Subject{User: "$sys"}, acl.Subscribe, "/inbox/$sys", 0, acl.NoRule},
		{acl.Subject{User: "*"}, acl.Subscribe, "/inbox/bob", 4, acl.NotListed},
		{scoped("bob", "/room/1", "/room/*"), acl.Subscribe, "/room/1", 7, acl.ByToken},
		{scoped("bob", "/room/1", "/room/*"), acl.Publish, "/room/2", 7, acl.NotListed},
		{scoped("bob", "/room/1", "/room/*"), acl.Subscribe, "/room/2", 7, acl.OutOfScope},
		{scoped("bob", "/**", "/**"), acl.Subscribe, "/room/2", 7, acl.ByToken},
		{scoped("bob", "/**", "/**"), acl.Publish, "/chat/lobby", 2, acl.ByAuthenticated},
		{scoped("bob", "/room/1", ""), acl.Subscribe, "/chat/lobby", 2, acl.OutOfScope},
		{scoped("bob", "/**", "/**"), acl.Subscribe, "/chat/secret", 1, acl.NotListed},
		{scoped("bob", "/inbox/{user}", ""), acl.Subscribe, "/inbox/bob", 4, acl.BySelf},
		{scoped("bob", "/inbox/{user}", ""), acl.Subscribe, "/inbox/alice", 4, acl.OutOfScope},
		{scoped("", "/room/1", ""), acl.Subscribe, "/room/1", 7, acl.NotListed},
		{bob, acl.Subscribe, "/room/1", 7, acl.NotListed},
	} {
		d := p.Decide(tc.who, tc.action, tc.name)
		line := 0
		if d.Rule != nil {
			line = d.Rule.Source.Line
		}
		allowed := tc.reason != acl.NotListed && tc.reason != acl.OutOfScope && tc.reason != acl.NoRule
		if d.Allowed != allowed || d.Reason != tc.reason || line != tc.line {
			t.Errorf("%q %s %s: %t, line %d, %s; want line %d, %s", tc.who.User, tc.action, tc.name, d.Allowed, line, d.Reason, tc.line, tc.reason)
		}
		if found := p.Lookup(tc.name); found != d.Rule {
			t.Errorf("%s: Lookup says %v, Decide %v", tc.name, found, d.Rule)
		}
	}
}

func TestDisabledApplication(t *testing.T) {
	p, err := acl.Compile([]acl.Rule{rule(t, 1, "/**", "*", "*")}, "chat")
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Decide(alice, acl.Publish, "/chat/lobby"); d.Allowed || d.Reason != acl.AppDisabled || d.Rule != nil {
		t.Errorf("below a disabled application: %+v", d)
	}
	if p.Lookup("/chat/lobby") != nil || !p.Disabled("/chat/lobby") {
		t.Error("a disabled application has a rule")
	}
	if d := p.Decide(anonymous, acl.Publish, "/chats/lobby"); !d.Allowed {
		t.Errorf("another application: %+v", d)
	}
}

func TestNoRules(t *testing.T) {
	if d := compile(t).Decide(alice, acl.Subscribe, "/chat/lobby"); d.Allowed || d.Reason != acl.NoRule {
		t.Errorf("without rules: %+v", d)
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, tc := range []struct {
		rule acl.Rule
		text string
	}{
		{rule(t, 7, "/chat/**", "self", ""), `"self" needs`},
		{rule(t, 7, "/inbox/{user}", "@authenticated", "*"), `no list says "self"`},
		{inApp(rule(t, 7, "/news/**", "*", ""), "chat"), "its own channels only"},
		{inApp(rule(t, 7, "/*/x", "*", ""), "chat"), "its own channels only"},
		{inApp(rule(t, 7, "/**", "*", ""), "chat"), "its own channels only"},
	} {
		_, err := acl.Compile([]acl.Rule{tc.rule})
		m, ok := errors.AsType[*acl.Mistake](err)
		if !ok || m.Hint == "" || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), "orbitd.toml:7: channel") {
			t.Errorf("%s: %v, want %q", tc.rule.Match, err, tc.text)
		}
	}
	if _, err := acl.Compile([]acl.Rule{inApp(rule(t, 7, "/chat/**", "*", ""), "chat"), inApp(rule(t, 8, "/chat", "*", ""), "chat")}); err != nil {
		t.Errorf("rules of an application: %v", err)
	}
}

func TestShadows(t *testing.T) {
	wide, narrow := rule(t, 1, "/chat/**", "*", ""), rule(t, 2, "/chat/{user}", "self", "")
	if !wide.Shadows(&narrow) || narrow.Shadows(&wide) {
		t.Error("the wide rule shadows the narrow one, not the reverse")
	}
}

func TestPolicyKeepsNothingOfItsCaller(t *testing.T) {
	rules := []acl.Rule{rule(t, 1, "/chat/**", "user:alice", "")}
	p := compile(t, rules...)
	rules[0].Subscribe[0], _ = acl.ParsePrincipal("*")
	rules[0].Match = channel.Pattern{}
	if d := p.Decide(anonymous, acl.Subscribe, "/chat/x"); d.Allowed || d.Rule == nil || d.Rule.Subscribe[0].String() != "user:alice" {
		t.Errorf("%+v", d)
	}
}

func TestExplain(t *testing.T) {
	first := rule(t, 1, "/news/{user}", "self", "")
	second := rule(t, 4, "/chat/**", "group:staff user:bob", "*")
	first.Storage.Age = time.Hour
	p := compile(t, first, second)
	for _, tc := range []struct {
		who  acl.Subject
		name channel.Name
		want string
	}{
		{alice, "/chat/lobby", `ALLOWED: subscribe /chat/lobby for alice (groups editors, staff)
because a group of the user is listed
decided by orbitd.toml:4: channel "/chat/**", subscribe = ["group:staff", "user:bob"]
passed over orbitd.toml:1: channel "/news/{user}": segment "chat" is not "news"`},
		{anonymous, "/chat/lobby", `FORBIDDEN: subscribe /chat/lobby for anonymous
because the first rule that matches does not list this subject
decided by orbitd.toml:4: channel "/chat/**", subscribe = ["group:staff", "user:bob"]
passed over orbitd.toml:1: channel "/news/{user}": segment "chat" is not "news"`},
		{bob, "/chat/$x", `FORBIDDEN: subscribe /chat/$x for bob (no groups)
because no rule matches the channel
passed over orbitd.toml:1: channel "/news/{user}": segment "chat" is not "news"
passed over orbitd.toml:4: channel "/chat/**": wildcards match no segment that begins with "$"`},
	} {
		e := p.Explain(tc.who, acl.Subscribe, tc.name)
		if got := e.String(); got != tc.want {
			t.Errorf("got\n%s\nwant\n%s", got, tc.want)
		}
		var back acl.Explanation
		data, err := json.Marshal(e)
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || back.String() != tc.want {
			t.Errorf("JSON %s: %v", data, err)
		}
	}
}

func TestParseAction(t *testing.T) {
	for _, a := range []acl.Action{acl.Subscribe, acl.Publish} {
		if got, err := acl.ParseAction(a.String()); got != a || err != nil {
			t.Errorf("%s: %v, %v", a, got, err)
		}
	}
	if _, err := acl.ParseAction("read"); err == nil {
		t.Error("an unknown action is parsed")
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	p := compile(t, rule(t, 1, "/chat/{user}/**", "self group:editors", ""), rule(t, 2, "/**", "group:nobody group:staff", ""))
	if n := testing.AllocsPerRun(100, func() {
		p.Decide(alice, acl.Subscribe, "/chat/alice/x")
		p.Decide(alice, acl.Publish, "/chat/bob/x")
		p.Decide(alice, acl.Subscribe, "/news/x")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	p := compile(b, rule(b, 1, "/chat/{user}/**", "self", ""), rule(b, 2, "/**", "group:nobody group:staff", ""))
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(alice, acl.Subscribe, "/chat/bob")
	}
}

// rule returns a rule with its lists given as words.
func rule(t testing.TB, line int, match, subscribe, publish string) acl.Rule {
	t.Helper()
	p, err := channel.ParsePattern(match)
	if err != nil {
		t.Fatal(err)
	}
	return acl.Rule{
		Match: p, Subscribe: principals(t, subscribe), Publish: principals(t, publish),
		Source: acl.Source{File: "orbitd.toml", Line: line},
	}
}

// scoped returns a subject whose token is for those channels, one pattern each.
func scoped(user, subscribe, publish string) acl.Subject {
	s := acl.Subject{User: user, Scope: &channel.Scope{}}
	s.Scope.Subscribe = patterns(subscribe)
	s.Scope.Publish = patterns(publish)
	return s
}

func patterns(text string) []channel.Pattern {
	p, err := channel.ParsePattern(text)
	if err != nil {
		return nil
	}
	return []channel.Pattern{p}
}

func inApp(r acl.Rule, app string) acl.Rule {
	r.App = app
	return r
}

func principals(t testing.TB, words string) (list []acl.Principal) {
	t.Helper()
	for word := range strings.FieldsSeq(words) {
		p, err := acl.ParsePrincipal(word)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func compile(t testing.TB, rules ...acl.Rule) *acl.Policy {
	t.Helper()
	p, err := acl.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

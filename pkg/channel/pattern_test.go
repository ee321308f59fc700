package channel_test

import (
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
)

func TestParsePatternErrors(t *testing.T) {
	for _, tc := range []struct{ pattern, err string }{
		{"", `begin with "/"`},
		{"chat/*", `begin with "/"`},
		{"/", "segment is empty"},
		{"/chat/", "segment is empty"},
		{"/chat//x", "segment is empty"},
		{"/chat/..", "not a segment"},
		{"/**/x", "not the last"},
		{"/**/**", "not the last"},
		{"/chat/a*", "whole segment"},
		{"/chat/***", "whole segment"},
		{"/chat/*{user}", "whole segment"},
		{"/chat/{group}", "only variable"},
		{"/chat/{user", "only variable"},
		{"/chat/user}", "only variable"},
		{"/chat/{{user}}", "only variable"},
		{"/{user}/{user}", "more than once"},
		{"/a/{user}{user}", "more than once"},
		{"/a/x$", "not allowed"},
		{"/a/{user}$", "not allowed"},
		{"/a/{user} x", "not allowed"},
		{"/" + strings.Repeat("a", channel.MaxLength), "255"},
	} {
		_, err := channel.ParsePattern(tc.pattern)
		if err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("ParsePattern(%q): error %v, want one with %q", tc.pattern, err, tc.err)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, user string
		matches, not  []channel.Name
	}{
		{"/chat", "", names("/chat"), names("/chat/lobby", "/chats", "/cha")},
		{"/chat/lobby", "", names("/chat/lobby"), names("/chat", "/chat/lobby/x", "/chat/Lobby")},
		{"/chat/*", "", names("/chat/lobby", "/chat/x"), names("/chat", "/chat/a/b", "/chat/$x", "/news/x")},
		{"/*/x", "", names("/chat/x"), names("/$sys/x", "/x", "/a/b/x")},
		{"/chat/**", "", names("/chat/a", "/chat/a/b/c"), names("/chat", "/chats/a", "/chat/$a", "/chat/a/$b", "/chat/a/$b/c")},
		{"/**", "", names("/a", "/a/b"), names("/$sys", "/$sys/a", "/a/$b")},
		{"/$sys/**", "", names("/$sys/a", "/$sys/a/b"), names("/$sys", "/$sys/$a", "/sys/a")},
		{"/chat/$members/*", "", names("/chat/$members/x"), names("/chat/x/x", "/chat/$members/$x")},
		{"/inbox/{user}", "bob", names("/inbox/bob"), names("/inbox/bo", "/inbox/bobb", "/inbox/bob/x", "/inbox", "/inbox/{user}")},
		{"/inbox/{user}", "", nil, names("/inbox/bob", "/inbox/x")},
		{"/inbox/{user}/**", "bob", names("/inbox/bob/x", "/inbox/bob/x/y"), names("/inbox/bob", "/inbox/al/x", "/inbox/bob/$x")},
		{"/a/to-{user}", "bob", names("/a/to-bob"), names("/a/bob", "/a/to-", "/a/to-al")},
		{"/a/{user}.in", "bob", names("/a/bob.in"), names("/a/bob", "/a/.in", "/a/bobxin")},
		{"/a/x{user}x", "x", names("/a/xxx"), names("/a/xx", "/a/x", "/a/xxxx")},
		{"/a/${user}", "bob", names("/a/$bob"), names("/a/bob", "/a/$", "/a/$al")},

		// A user's name is never a pattern, a path or one of the server's own.
		{"/inbox/{user}", "*", nil, names("/inbox/a", "/inbox/bob")},
		{"/inbox/{user}", "**", nil, names("/inbox/a", "/inbox/bob")},
		{"/inbox/{user}", "{user}", nil, names("/inbox/a")},
		{"/inbox/{user}", "a/b", nil, names("/inbox/a/b", "/inbox/a")},
		{"/inbox/{user}", "$sys", nil, names("/inbox/$sys")},
		{"/{user}/x", "$sys", nil, names("/$sys/x")},
		{"/inbox/{user}/x", "..", nil, names("/inbox/x", "/inbox/a/x")},
		{"/inbox/{user}", "Bob", nil, names("/inbox/bob")},
	} {
		p := pattern(t, tc.pattern)
		for _, name := range tc.matches {
			if !p.Match(name, tc.user) || p.Mismatch(name) != "" {
				t.Errorf("%s does not match %s for %q: %s", p, name, tc.user, p.Mismatch(name))
			}
		}
		for _, name := range tc.not {
			if p.Match(name, tc.user) {
				t.Errorf("%s matches %s for %q", p, name, tc.user)
			}
		}
	}
}

func TestBind(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		name    channel.Name
		user    string
		ok      bool
	}{
		{"/inbox/{user}", "/inbox/bob", "bob", true},
		{"/inbox/to-{user}.x/**", "/inbox/to-bob.x/1", "bob", true},
		{"/inbox/*", "/inbox/bob", "", true},
		{"/inbox/{user}", "/inbox/$bob", "", false},
		{"/inbox/{user}", "/inbox", "", false},
	} {
		if user, ok := pattern(t, tc.pattern).Bind(tc.name); user != tc.user || ok != tc.ok {
			t.Errorf("%s binds %s to %q, %t; want %q, %t", tc.pattern, tc.name, user, ok, tc.user, tc.ok)
		}
	}
	if _, ok := (channel.Pattern{}).Bind("/chat"); ok {
		t.Error("the zero pattern matches")
	}
}

func TestMismatch(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		name    channel.Name
		want    string
	}{
		{"/chat/*", "/news/x", `segment "news" is not "chat"`},
		{"/chat/to-{user}", "/chat/x", `segment "x" is not "to-{user}"`},
		{"/chat/*", "/chat/$x", `segment "$x" is not "*"`},
		{"/chat/*", "/chat", "too few segments"},
		{"/chat/**", "/chat", "too few segments"},
		{"/chat/*", "/chat/a/b", "too many segments"},
		{"/chat/**", "/chat/a/$b", `begins with "$"`},
	} {
		if why := pattern(t, tc.pattern).Mismatch(tc.name); !strings.Contains(why, tc.want) {
			t.Errorf("%s and %s: %q, want %q", tc.pattern, tc.name, why, tc.want)
		}
	}
}

func TestApp(t *testing.T) {
	for text, want := range map[string]string{"/chat": "chat", "/chat/**": "chat", "/$sys/*": "$sys", "/*/x": "", "/**": "", "/{user}": "", "/x{user}": ""} {
		if app, ok := pattern(t, text).App(); app != want || ok != (want != "") {
			t.Errorf("%s: app %q, %t", text, app, ok)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		wide, narrow string
		want         bool
	}{
		{"/chat/**", "/chat/*", true},
		{"/chat/**", "/chat/a/b", true},
		{"/chat/**", "/chat/**", true},
		{"/chat/**", "/chat/a/**", true},
		{"/chat/**", "/chat", false},
		{"/chat/**", "/chat/$x", false},
		{"/chat/**", "/chat/${user}", false},
		{"/chat/**", "/chat/a/$x/**", false},
		{"/chat/**", "/**", false},
		{"/**", "/chat", true},
		{"/**", "/$sys", false},
		{"/*/**", "/**", false},
		{"/*/**", "/a/**", true},
		{"/chat/*", "/chat/**", false},
		{"/chat/*", "/chat/{user}", true},
		{"/chat/{user}", "/chat/*", true},
		{"/chat/{user}", "/chat/lobby", true},
		{"/chat/to-{user}", "/chat/to-bob", true},
		{"/chat/to-{user}", "/chat/to-", false},
		{"/chat/to-{user}", "/chat/to-x{user}", true},
		{"/chat/to-x{user}", "/chat/to-{user}", false},
		{"/chat/to-{user}", "/chat/*", false},
		{"/chat/{user}.x", "/chat/${user}.x", false},
		{"/chat/lobby", "/chat/*", false},
		{"/chat/lobby", "/chat/lobby", true},
		{"/$sys/**", "/$sys/x", true},
	} {
		if got := pattern(t, tc.wide).Covers(pattern(t, tc.narrow)); got != tc.want {
			t.Errorf("%s covers %s: %t", tc.wide, tc.narrow, got)
		}
	}
}

// TestCoversAgrees compares Covers with what matching says of every name that
// can be made of a few segments: these are chosen so that each difference
// between two of the patterns shows in one of the names.
func TestCoversAgrees(t *testing.T) {
	texts := []string{"*", "a", "b", "$a", "{user}", "a{user}", "{user}a", "${user}"}
	segments := []string{"a", "b", "$a", "$b", "aa", "ab", "ba", "cc", "aca"}
	var patterns []channel.Pattern
	add := func(s string) {
		if p, err := channel.ParsePattern(s); err == nil {
			patterns = append(patterns, p)
		}
	}
	add("/**")
	for _, x := range texts {
		add("/" + x)
		add("/" + x + "/**")
		for _, y := range texts {
			add("/" + x + "/" + y)
		}
	}
	var all []channel.Name
	for _, x := range segments {
		all = append(all, channel.Name("/"+x))
		for _, y := range segments {
			all = append(all, channel.Name("/"+x+"/"+y), channel.Name("/"+x+"/"+y+"/cc"))
		}
	}
	for _, p := range patterns {
		for _, q := range patterns {
			if got, want := p.Covers(q), coversAll(p, q, all); got != want {
				t.Errorf("%s covers %s: %t, want %t", p, q, got, want)
			}
		}
	}
}

func coversAll(p, q channel.Pattern, all []channel.Name) bool {
	for _, name := range all {
		_, inP := p.Bind(name)
		if _, inQ := q.Bind(name); inQ && !inP {
			return false
		}
	}
	return true
}

func FuzzPattern(f *testing.F) {
	f.Add("/chat/**", "/chat/a/b", "bob", "/chat/*")
	f.Add("/inbox/to-{user}.x", "/inbox/to-bob.x", "bob", "/inbox/*")
	f.Add("/$sys/*", "/$sys/a", "*", "/**")
	f.Fuzz(func(t *testing.T, text, name, user, other string) {
		p, err := channel.ParsePattern(text)
		if err != nil {
			return
		}
		if p.String() != text {
			t.Fatalf("%q became %q", text, p)
		}
		if !p.Covers(p) {
			t.Fatalf("%s does not cover itself", p)
		}
		n, err := channel.Parse(name)
		if err != nil {
			return
		}
		checkBinding(t, p, n, user)
		q, err := channel.ParsePattern(other)
		if err != nil {
			return
		}
		_, inP := p.Bind(n)
		if _, inQ := q.Bind(n); inQ && !inP && p.Covers(q) {
			t.Fatalf("%s covers %s, and only that matches %s", p, q, n)
		}
	})
}

// checkBinding checks what must hold of any pattern, name and user: matching is
// binding to that user, whose name then stands in the channel literally, and
// nothing reserved is reached but by spelling it out.
func checkBinding(t *testing.T, p channel.Pattern, n channel.Name, user string) {
	bound, ok := p.Bind(n)
	if ok != (p.Mismatch(n) == "") {
		t.Fatalf("%s and %s: bind %t, mismatch %q", p, n, ok, p.Mismatch(n))
	}
	if matches := p.Match(n, user); matches != (ok && (!p.HasUser() || bound == user)) {
		t.Fatalf("%s matches %s for %q: %t; bound to %q, %t", p, n, user, matches, bound, ok)
	}
	if !ok {
		return
	}
	if p.HasUser() {
		literal, err := channel.ParsePattern(strings.Replace(p.String(), "{user}", bound, 1))
		if err != nil || !literal.Match(n, "") {
			t.Fatalf("%s bound %s to %q, which does not stand there: %v", p, n, bound, err)
		}
	}
	if n.Reserved() && !strings.Contains(p.String(), "/$") {
		t.Fatalf("%s reaches %s", p, n)
	}
}

func BenchmarkBind(b *testing.B) {
	p, err := channel.ParsePattern("/inbox/{user}/**")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Bind("/inbox/alice/a/b/c")
	}
}

func names(s ...channel.Name) []channel.Name { return s }

func pattern(t *testing.T, s string) channel.Pattern {
	t.Helper()
	p, err := channel.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

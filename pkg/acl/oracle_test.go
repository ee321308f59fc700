package acl_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
)

// An oracleRule is a rule as it is written. The oracle knows rules in this form
// alone, and shares no code with the package: it turns patterns into regular
// expressions and walks through everything.
type oracleRule struct {
	match              string
	subscribe, publish []string
	expression         *regexp.Regexp
}

// TestAgainstOracle compares decisions on random policies with the oracle's.
func TestAgainstOracle(t *testing.T) {
	policies := 3_000
	if testing.Short() {
		policies = 300
	}
	const seed = 20
	r := rand.New(rand.NewPCG(seed, seed))
	allowed, decided := 0, 0
	for n := range policies {
		written := randomPolicy(r)
		p := compile(t, parsed(t, written)...)
		for range 25 {
			who, action, name := randomSubject(t, r), acl.Subscribe, randomName(r)
			if r.IntN(2) == 0 {
				action = acl.Publish
			}
			got := p.Decide(who, action, name)
			want, line := oracle(written, who, action, name)
			if got.Allowed != want || lineOf(got.Rule) != line {
				t.Fatalf("policy %d %+v\n%+v %s %s: %t by rule %d (%s), the oracle says %t by rule %d",
					n, written, who, action, name, got.Allowed, lineOf(got.Rule), got.Reason, want, line)
			}
			if e := p.Explain(who, action, name); e.Allowed != want || len(e.Passed) != passed(line, len(written)) {
				t.Fatalf("policy %d: explained as %+v, the oracle says %t by rule %d", n, e, want, line)
			}
			decided++
			if want {
				allowed++
			}
		}
	}
	if allowed < decided/20 || allowed > decided/2 {
		t.Errorf("%d of %d allowed: the policies are too alike to show much", allowed, decided)
	}
}

// oracle decides, and tells which rule did, counted from 1; 0 is none.
func oracle(rules []oracleRule, who acl.Subject, action acl.Action, name channel.Name) (allowed bool, line int) {
	inScope := who.Scope == nil
	if !inScope {
		scope := who.Scope.Subscribe
		if action == acl.Publish {
			scope = who.Scope.Publish
		}
		inScope = slices.ContainsFunc(scope, func(p channel.Pattern) bool {
			found := expression(p.String()).FindStringSubmatch(string(name))
			return found != nil && (len(found) == 1 || found[1] == who.User)
		})
	}
	for i, rule := range rules {
		found := rule.expression.FindStringSubmatch(string(name))
		if found == nil {
			continue
		}
		list := rule.subscribe
		if action == acl.Publish {
			list = rule.publish
		}
		return inScope && slices.ContainsFunc(list, func(s string) bool {
			switch {
			case s == "*":
				return true
			case who.User == "":
				return false
			case s == "token":
				return who.Scope != nil
			case s == "@authenticated", s == "user:"+who.User, s == "self" && found[1] == who.User:
				return true
			}
			return slices.ContainsFunc(who.Groups, func(g string) bool { return s == "group:"+g })
		}), i + 1
	}
	return false, 0
}

func expression(match string) *regexp.Regexp {
	e := regexp.QuoteMeta(match)
	e = strings.ReplaceAll(e, `/\*\*`, `(?:/[^/$][^/]*)+`)
	e = strings.ReplaceAll(e, `/\*`, `/[^/$][^/]*`)
	e = strings.ReplaceAll(e, `/\{user\}`, `/([^/$][^/]*)`)
	e = strings.ReplaceAll(e, `\{user\}`, `([^/]+)`)
	return regexp.MustCompile("^" + e + "$")
}

func passed(line, all int) int {
	if line == 0 {
		return all
	}
	return line - 1
}

func lineOf(r *acl.Rule) int {
	if r == nil {
		return 0
	}
	return r.Source.Line
}

func randomPolicy(r *rand.Rand) []oracleRule {
	rules := make([]oracleRule, 1+r.IntN(8))
	for i := range rules {
		rules[i] = oracleRule{match: randomMatch(r), subscribe: randomList(r), publish: randomList(r)}
		hasSelf := slices.Contains(append(rules[i].subscribe, rules[i].publish...), "self")
		if strings.Contains(rules[i].match, "{user}") && !hasSelf {
			rules[i].subscribe = append(rules[i].subscribe, "self")
		} else if hasSelf && !strings.Contains(rules[i].match, "{user}") {
			rules[i].match = "/a/{user}"
		}
		rules[i].expression = expression(rules[i].match)
	}
	return rules
}

func randomMatch(r *rand.Rand) string {
	choices := []string{"a", "b", "*", "$a", "a", "b", "{user}", "x{user}", "{user}.b", "${user}"}
	var b strings.Builder
	user := false
	for range 1 + r.IntN(3) {
		s := choices[r.IntN(len(choices))]
		if user = user || strings.Contains(s, "{user}"); user {
			choices = choices[:6]
		}
		b.WriteString("/" + s)
	}
	if r.IntN(3) == 0 {
		b.WriteString("/**")
	}
	return b.String()
}

func randomList(r *rand.Rand) []string {
	all := []string{"user:a", "user:xa", "user:b", "group:g", "group:h", "self", "token", "@authenticated", "*"}
	var list []string
	for _, p := range all {
		if r.IntN(4) == 0 {
			list = append(list, p)
		}
	}
	return list
}

func randomSubject(t *testing.T, r *rand.Rand) acl.Subject {
	t.Helper()
	s := acl.Subject{User: []string{"", "a", "b", "xa", "a.b", "$a", "*", "{user}", "a/b"}[r.IntN(9)]}
	for _, g := range []string{"g", "h", "i"} {
		if r.IntN(4) == 0 {
			s.Groups = append(s.Groups, g)
		}
	}
	if r.IntN(3) == 0 {
		s.Scope = &channel.Scope{Subscribe: randomPatterns(t, r), Publish: randomPatterns(t, r)}
	}
	return s
}

func randomPatterns(t *testing.T, r *rand.Rand) (patterns []channel.Pattern) {
	t.Helper()
	for range r.IntN(4) {
		p, err := channel.ParsePattern(randomMatch(r))
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	return patterns
}

func randomName(r *rand.Rand) channel.Name {
	segments := []string{"a", "b", "a", "b", "xa", "a.b", "$a", "$b", "xa.b", "x"}
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString("/" + segments[r.IntN(len(segments))])
	}
	return channel.Name(b.String())
}

func parsed(t *testing.T, written []oracleRule) []acl.Rule {
	t.Helper()
	rules := make([]acl.Rule, len(written))
	for i, w := range written {
		rules[i] = rule(t, i+1, w.match, strings.Join(w.subscribe, " "), strings.Join(w.publish, " "))
		rules[i].Source.File = "policy"
	}
	return rules
}

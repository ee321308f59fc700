package acl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/orbitd/orbitd/pkg/channel"
)

// An Explanation is a decision with the way that led to it, for people. Its
// JSON form is for scripts.
type Explanation struct {
	User string `json:"user"` // empty: anonymous
	// Auth is who has told the groups, and where that is configured. Who explains
	// sets it; rules know nothing of it.
	Auth    string       `json:"auth,omitempty"`
	Groups  []string     `json:"groups,omitempty"`
	Action  string       `json:"action"`
	Channel channel.Name `json:"channel"`
	Allowed bool         `json:"allowed"`
	Reason  Reason       `json:"reason"`
	Rule    string       `json:"rule,omitempty"` // file:line of what decided
	Match   string       `json:"match,omitempty"`
	Listed  []string     `json:"listed,omitempty"` // whom that rule lets do this
	Passed  []Passed     `json:"passed,omitempty"` // rules before it
}

// A Passed is a rule that did not match, and why.
type Passed struct {
	Rule  string `json:"rule"`
	Match string `json:"match"`
	Why   string `json:"why"`
}

// Explain decides as [Policy.Decide] does and tells how.
func (p *Policy) Explain(s Subject, a Action, name channel.Name) Explanation {
	d := p.Decide(s, a, name)
	e := Explanation{
		User: s.User, Groups: s.Groups, Action: a.String(), Channel: name,
		Allowed: d.Allowed, Reason: d.Reason,
	}
	if p.Disabled(name) {
		return e
	}
	for i := range p.rules {
		rule := &p.rules[i].Rule
		if rule == d.Rule {
			break
		}
		e.Passed = append(e.Passed, Passed{rule.Source.String(), rule.Match.String(), rule.Match.Mismatch(name)})
	}
	if d.Rule != nil {
		e.Rule, e.Match = d.Rule.Source.String(), d.Rule.Match.String()
		e.Listed = d.Rule.list(a)
	}
	return e
}

func (r *Rule) list(a Action) []string {
	principals := r.Subscribe
	if a == Publish {
		principals = r.Publish
	}
	listed := make([]string, len(principals))
	for i, p := range principals {
		listed[i] = p.String()
	}
	return listed
}

// String returns the explanation as text of a few lines, without a newline at
// its end.
func (e Explanation) String() string {
	var b strings.Builder
	verdict := "FORBIDDEN"
	if e.Allowed {
		verdict = "ALLOWED"
	}
	fmt.Fprintf(&b, "%s: %s %s for %s\n", verdict, e.Action, e.Channel, e.who())
	if e.Auth != "" {
		fmt.Fprintf(&b, "found by %s\n", e.Auth)
	}
	fmt.Fprintf(&b, "because %s", e.Reason)
	if e.Rule != "" {
		fmt.Fprintf(&b, "\ndecided by %s: channel %q, %s = [%s]", e.Rule, e.Match, e.Action, quoted(e.Listed))
	}
	for _, p := range e.Passed {
		fmt.Fprintf(&b, "\npassed over %s: channel %q: %s", p.Rule, p.Match, p.Why)
	}
	return b.String()
}

func quoted(list []string) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = strconv.Quote(s)
	}
	return strings.Join(texts, ", ")
}

func (e Explanation) who() string {
	switch {
	case e.User == "":
		return "anonymous"
	case len(e.Groups) == 0:
		return e.User + " (no groups)"
	}
	return fmt.Sprintf("%s (groups %s)", e.User, strings.Join(e.Groups, ", "))
}

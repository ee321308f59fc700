package acl

import (
	"errors"
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
)

// A Policy is a set of compiled rules. It is immutable: a reload makes a new
// one. All methods may be called concurrently, and Decide allocates nothing.
type Policy struct {
	rules []compiled // in their order
	// An application's rules are those that could match below its name, in
	// their order; an application that no rule names has the rest.
	apps map[string][]*compiled
	rest []*compiled
	// disabled applications have no rules in force, whatever is written.
	disabled map[string]bool
}

// compiled is a rule with its lists in the form that Decide asks.
type compiled struct {
	Rule
	subscribe, publish grant
}

// A grant is a list of principals.
type grant struct {
	anyone, authenticated, self, token bool
	users, groups                      map[string]struct{}
}

// A Decision is the answer to one question.
type Decision struct {
	Allowed bool
	// Rule is the one that decided; nil if none matched. It belongs to the
	// policy and is not to be changed.
	Rule   *Rule
	Reason Reason
}

// A Reason says in a few words why a decision came out as it did.
type Reason string

// The reasons. Those up to ByToken allow, the others forbid.
const (
	ByAnyone        Reason = `"*" lets anyone in`
	ByAuthenticated Reason = `"@authenticated" lets in who has logged in`
	BySelf          Reason = `"self": the channel bears the user's own name`
	ByUser          Reason = "the user is listed"
	ByGroup         Reason = "a group of the user is listed"
	ByToken         Reason = `"token": the user's token names the channel`

	NotListed   Reason = "the first rule that matches does not list this subject"
	OutOfScope  Reason = "the token is for other channels"
	NoRule      Reason = "no rule matches the channel"
	AppDisabled Reason = "the application is disabled, because its file has an error"
)

// Compile returns rules as a Policy, in their order. The applications in
// disabled are refused everything: theirs are the files that could not be read.
// A rule that contradicts itself is an error; see [Rule.Check].
func Compile(rules []Rule, disabled ...string) (*Policy, error) {
	p := &Policy{apps: make(map[string][]*compiled), disabled: make(map[string]bool)}
	for _, app := range disabled {
		p.disabled[app] = true
	}
	var errs []error
	for i := range rules {
		if err := rules[i].Check(); err != nil {
			errs = append(errs, fmt.Errorf("%v: channel %q: %w", rules[i].Source, rules[i].Match, err))
		}
		p.rules = append(p.rules, compile(rules[i]))
		if app, ok := rules[i].Match.App(); ok {
			p.apps[app] = nil
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p.index()
	return p, nil
}

func (p *Policy) index() {
	for i := range p.rules {
		rule := &p.rules[i]
		if app, ok := rule.Match.App(); ok {
			p.apps[app] = append(p.apps[app], rule)
			continue
		}
		p.rest = append(p.rest, rule)
		for app := range p.apps {
			p.apps[app] = append(p.apps[app], rule)
		}
	}
}

func compile(r Rule) compiled {
	r.Subscribe, r.Publish = slices.Clone(r.Subscribe), slices.Clone(r.Publish)
	return compiled{r, newGrant(r.Subscribe), newGrant(r.Publish)}
}

func newGrant(principals []Principal) grant {
	g := grant{users: make(map[string]struct{}), groups: make(map[string]struct{})}
	for _, p := range principals {
		switch p.kind {
		case anyone:
			g.anyone = true
		case authenticated:
			g.authenticated = true
		case self:
			g.self = true
		case token:
			g.token = true
		case user:
			g.users[p.name] = struct{}{}
		case group:
			g.groups[p.name] = struct{}{}
		}
	}
	return g
}

// Decide says whether the subject may carry out the action on the channel.
func (p *Policy) Decide(s Subject, a Action, name channel.Name) Decision {
	if p.disabled[name.App()] {
		return Decision{Reason: AppDisabled}
	}
	rule := p.find(name)
	if rule == nil {
		return Decision{Reason: NoRule}
	}
	reason := rule.grants(s, a, name)
	return Decision{reason != NotListed && reason != OutOfScope, &rule.Rule, reason}
}

// Lookup returns the rule that is in force for the channel, whoever asks, or
// nil. It belongs to the policy and is not to be changed.
func (p *Policy) Lookup(name channel.Name) *Rule {
	if p.disabled[name.App()] {
		return nil
	}
	if rule := p.find(name); rule != nil {
		return &rule.Rule
	}
	return nil
}

// Disabled reports whether the channel's application is disabled.
func (p *Policy) Disabled(name channel.Name) bool { return p.disabled[name.App()] }

func (p *Policy) find(name channel.Name) *compiled {
	rules, ok := p.apps[name.App()]
	if !ok {
		rules = p.rest
	}
	for _, rule := range rules {
		if _, ok := rule.Match.Bind(name); ok {
			return rule
		}
	}
	return nil
}

func (c *compiled) grants(s Subject, a Action, name channel.Name) Reason {
	g := &c.subscribe
	if a == Publish {
		g = &c.publish
	}
	switch {
	case !s.inScope(a, name):
		return OutOfScope
	case g.anyone:
		return ByAnyone
	case !s.Authenticated():
		return NotListed
	case g.authenticated:
		return ByAuthenticated
	case g.self && c.Match.Match(name, s.User):
		return BySelf
	case g.has(s.User):
		return ByUser
	case g.hasAny(s.Groups):
		return ByGroup
	case g.token && s.Scope != nil:
		return ByToken
	}
	return NotListed
}

func (g *grant) has(user string) bool {
	_, ok := g.users[user]
	return ok
}

func (g *grant) hasAny(groups []string) bool {
	if len(g.groups) == 0 {
		return false
	}
	for _, name := range groups {
		if _, ok := g.groups[name]; ok {
			return true
		}
	}
	return false
}

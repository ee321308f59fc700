package acl

import (
	"fmt"
	"strings"
)

// A Principal is one entry of a rule's subscribe or publish list: whom it lets
// in. ParsePrincipal makes it.
type Principal struct {
	kind principalKind
	name string
}

type principalKind uint8

const (
	anyone principalKind = iota + 1
	authenticated
	self
	user
	group
	token
)

// A Mistake is an error in what somebody wrote, with a hint at what to write
// instead.
type Mistake struct{ Text, Hint string }

// Error returns the text without the hint.
func (m *Mistake) Error() string { return m.Text }

// ParsePrincipal reads "*" (anyone, also without a login), "@authenticated",
// "self" (the user whose name is in the channel), "token" (who has a token that
// names the channel), "user:NAME" and "group:NAME".
// Names are what the authenticator calls them, taken literally. Its errors are
// *Mistake.
func ParsePrincipal(s string) (Principal, error) {
	switch s {
	case "*":
		return Principal{kind: anyone}, nil
	case "@authenticated":
		return Principal{kind: authenticated}, nil
	case "self":
		return Principal{kind: self}, nil
	case "token":
		return Principal{kind: token}, nil
	}
	kind, name, found := strings.Cut(s, ":")
	switch {
	case !found:
		return Principal{}, unknownPrincipal(s)
	case kind == "user":
		return namedPrincipal(user, s, name)
	case kind == "group":
		return namedPrincipal(group, s, name)
	}
	return Principal{}, &Mistake{
		Text: fmt.Sprintf("principal %q is of no kind that is known", s),
		Hint: `write "user:NAME" or "group:NAME"`,
	}
}

func namedPrincipal(kind principalKind, s, name string) (Principal, error) {
	switch {
	case name == "":
		return Principal{}, &Mistake{fmt.Sprintf("principal %q has no name", s), fmt.Sprintf("write %q", s+"NAME")}
	case name == "*":
		return Principal{}, &Mistake{fmt.Sprintf("principal %q: a name stands for itself, not for all names", s),
			`write "@authenticated" for all who have logged in, or "*" for anyone`}
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return Principal{}, &Mistake{fmt.Sprintf("principal %q has a control character in its name", s), "remove it"}
	}
	return Principal{kind, name}, nil
}

func unknownPrincipal(s string) error {
	m := &Mistake{Text: fmt.Sprintf("unknown principal %q", s)}
	switch {
	case s == "":
		m.Hint = `write "*", "@authenticated", "self", "token", "user:NAME" or "group:NAME"; an empty list lets nobody in`
	case s[0] == '@':
		m.Hint = `the only class is "@authenticated"`
	default:
		m.Hint = fmt.Sprintf("write %q or %q", "user:"+s, "group:"+s)
	}
	return m
}

// String returns the principal as it is written in a rule.
func (p Principal) String() string {
	switch p.kind {
	case anyone:
		return "*"
	case authenticated:
		return "@authenticated"
	case self:
		return "self"
	case token:
		return "token"
	case user:
		return "user:" + p.name
	case group:
		return "group:" + p.name
	}
	return ""
}

package acl

import (
	"fmt"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
)

// An Action is what a subject wants to do on a channel.
type Action uint8

// The actions. Subscribe is all reading: live, replayed, and history.
const (
	Subscribe Action = iota + 1
	Publish
)

// ParseAction reads what [Action.String] writes.
func ParseAction(s string) (Action, error) {
	switch s {
	case "subscribe":
		return Subscribe, nil
	case "publish":
		return Publish, nil
	}
	return 0, &Mistake{fmt.Sprintf("unknown action %q", s), `write "subscribe" or "publish"`}
}

// String returns the action as it is written in a rule.
func (a Action) String() string {
	if a == Publish {
		return "publish"
	}
	return "subscribe"
}

// A Subject is who asks, as the channel's application knows them. Names are
// canonical: as the authenticator has them, not as somebody typed them.
type Subject struct {
	User   string   // empty: not authenticated; then Groups count for nothing
	Groups []string // of the user
	// Scope is what the subject's token is for: what is not in it is forbidden,
	// whatever the rules say, and what is in it is allowed where a rule lists
	// "token". nil: the token does not say, or there is none.
	Scope *channel.Scope
}

// Authenticated reports whether the subject has logged in.
func (s Subject) Authenticated() bool { return s.User != "" }

// inScope reports whether the subject's token lets it try.
func (s Subject) inScope(a Action, name channel.Name) bool {
	switch {
	case s.Scope == nil:
		return true
	case a == Publish:
		return channel.Covers(s.Scope.Publish, name, s.User)
	}
	return channel.Covers(s.Scope.Subscribe, name, s.User)
}

// A Rule says who may use the channels that its pattern matches, and how their
// messages are stored.
type Rule struct {
	Match     channel.Pattern
	Subscribe []Principal
	Publish   []Principal
	Storage   Storage
	Source    Source
	// App restricts the rule to one application: that of the apps.d file it
	// comes from. Empty: the rule is the main file's.
	App string
}

// Storage is how the messages of a channel are stored and for how long. A limit
// of zero is none.
type Storage struct {
	Memory   bool // in a bounded ring that promises order alone
	Age      time.Duration
	Messages int
	Bytes    int64
}

// A Source is where a rule stands.
type Source struct {
	File string
	Line int
}

// String returns "file:line".
func (s Source) String() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// Check returns a *Mistake if the rule contradicts itself: a pattern outside
// its application, "self" without "{user}", or the reverse.
func (r *Rule) Check() error {
	app, spelled := r.Match.App()
	isSelf := func(p Principal) bool { return p.kind == self }
	hasSelf := slices.ContainsFunc(r.Subscribe, isSelf) || slices.ContainsFunc(r.Publish, isSelf)
	switch {
	case r.App != "" && (!spelled || app != r.App):
		return &Mistake{
			fmt.Sprintf("the file of application %q has rules for its own channels only", r.App),
			fmt.Sprintf(`write a match that begins with "/%s"`, r.App),
		}
	case hasSelf && !r.Match.HasUser():
		return &Mistake{`"self" needs a user's name in the channel`, `put "{user}" into match, as in "/inbox/{user}"`}
	case !hasSelf && r.Match.HasUser():
		return &Mistake{
			`"{user}" matches any user's name, and no list says "self"`,
			`write "self" where that user alone is meant, or "*" in place of "{user}"`,
		}
	}
	return nil
}

// Shadows reports whether other is never reached when it comes after r.
func (r *Rule) Shadows(other *Rule) bool { return r.Match.Covers(other.Match) }

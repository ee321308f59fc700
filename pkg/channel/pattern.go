package channel

import (
	"fmt"
	"strings"
)

// userVariable is what stands in a pattern for a user's name.
const userVariable = "{user}"

// A Pattern matches channel names, segment by segment:
//
//   - "*" stands for any one segment;
//   - "**" stands for the rest, one segment or more, and comes last;
//   - "{user}" stands for a user's name, as a whole segment or inside one, and
//     comes at most once;
//   - anything else stands for itself.
//
// No wildcard and no user's name matches a segment that begins with "$": only a
// pattern that spells out the "$" does. The zero Pattern matches nothing.
// Patterns are immutable and may be used concurrently.
type Pattern struct {
	text     string
	segments []segment
	rest     bool // ends in "**", which is not among segments
	user     bool // one of segments is a userSegment
}

// A segment is one part of a pattern; before and after surround a user's name,
// and before alone is the text of a literal.
type segment struct {
	kind          segmentKind
	before, after string
}

type segmentKind uint8

const (
	literal segmentKind = iota
	anySegment
	userSegment
)

// ParsePattern returns s as a Pattern, or an error that says what is wrong with
// it. Whatever the pattern spells out obeys the rules of [Parse].
func ParsePattern(s string) (Pattern, error) {
	switch {
	case len(s) > MaxLength:
		return Pattern{}, fmt.Errorf("pattern has %d bytes; the limit is %d", len(s), MaxLength)
	case s == "" || s[0] != '/':
		return Pattern{}, fmt.Errorf("pattern %q does not begin with \"/\"", s)
	}
	p := Pattern{text: s}
	for text := range strings.SplitSeq(s[1:], "/") {
		if err := p.add(text); err != nil {
			return Pattern{}, fmt.Errorf("pattern %q: %w", s, err)
		}
	}
	return p, nil
}

func (p *Pattern) add(text string) error {
	if p.rest {
		return fmt.Errorf("\"**\" is not the last segment")
	}
	if text == "**" {
		p.rest = true
		return nil
	}
	seg, err := parseSegment(text)
	if err != nil {
		return err
	}
	if seg.kind == userSegment && p.user {
		return fmt.Errorf("%q stands more than once", userVariable)
	}
	p.user = p.user || seg.kind == userSegment
	p.segments = append(p.segments, seg)
	return nil
}

func parseSegment(text string) (segment, error) {
	if text == "*" {
		return segment{kind: anySegment}, nil
	}
	before, after, found := strings.Cut(text, userVariable)
	switch {
	case strings.Contains(after, userVariable):
		return segment{}, fmt.Errorf("%q stands more than once", userVariable)
	case strings.Contains(text, "*"):
		return segment{}, fmt.Errorf("%q mixes \"*\" with text; a wildcard is a whole segment", text)
	case strings.ContainsAny(before+after, "{}"):
		return segment{}, fmt.Errorf("%q: the only variable is %q", text, userVariable)
	case !found:
		return segment{before: text}, checkSegment(text)
	}
	// A letter stands in for the user's name, so that the checks see what
	// surrounds it in its place.
	return segment{userSegment, before, after}, checkSegment(before + "u" + after)
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// HasUser reports whether "{user}" stands in the pattern.
func (p Pattern) HasUser() bool { return p.user }

// App returns the one application whose channels the pattern matches. ok is
// false where its first segment is not spelled out.
func (p Pattern) App() (app string, ok bool) {
	if len(p.segments) == 0 || p.segments[0].kind != literal {
		return "", false
	}
	return p.segments[0].before, true
}

// Match reports whether the pattern matches name when "{user}" is that user's
// name, taken literally whatever characters it has. An empty user has no name:
// then no pattern with "{user}" matches.
func (p Pattern) Match(name Name, user string) bool {
	bound, ok := p.Bind(name)
	return ok && (!p.user || bound == user)
}

// Bind reports whether the pattern matches name for any user at all, and which
// user's name "{user}" then is: empty if the pattern has none.
func (p Pattern) Bind(name Name) (user string, ok bool) {
	if name == "" || p.text == "" {
		return "", false
	}
	left, more := string(name[1:]), true
	for _, seg := range p.segments {
		if !more {
			return "", false
		}
		var text string
		text, left, more = strings.Cut(left, "/")
		bound, ok := seg.bind(text)
		if !ok {
			return "", false
		}
		if seg.kind == userSegment {
			user = bound
		}
	}
	if p.rest {
		return user, more && !startsReserved(left)
	}
	return user, !more
}

// startsReserved reports whether one of the segments of path begins with "$".
func startsReserved(path string) bool {
	return strings.HasPrefix(path, "$") || strings.Contains(path, "/$")
}

// bind reports whether the segment matches text, and the user's name in it.
func (s segment) bind(text string) (user string, ok bool) {
	switch s.kind {
	case literal:
		return "", text == s.before
	case anySegment:
		return "", !strings.HasPrefix(text, "$")
	}
	if len(text) <= len(s.before)+len(s.after) || s.before == "" && strings.HasPrefix(text, "$") ||
		!strings.HasPrefix(text, s.before) || !strings.HasSuffix(text, s.after) {
		return "", false
	}
	return text[len(s.before) : len(text)-len(s.after)], true
}

// Covers reports whether every name that other matches, for any user, is also
// matched by p for some user: then a rule for other that comes after one for p
// is never reached.
func (p Pattern) Covers(other Pattern) bool {
	fixed := len(p.segments)
	switch {
	case p.text == "" || len(other.segments) < fixed:
		return false
	case !p.rest && (other.rest || len(other.segments) != fixed):
		return false
	case p.rest && !other.rest && len(other.segments) == fixed:
		return false
	}
	for i, seg := range other.segments {
		if i < fixed && !p.segments[i].covers(seg) || i >= fixed && seg.reserved() {
			return false
		}
	}
	return true
}

// covers reports whether s matches every text that other matches.
func (s segment) covers(other segment) bool {
	switch {
	case s.kind == literal:
		return other.kind == literal && s.before == other.before
	case s.kind == anySegment || s.before == "" && s.after == "":
		return !other.reserved()
	case other.kind == literal:
		_, ok := s.bind(other.before)
		return ok
	}
	return other.kind == userSegment &&
		strings.HasPrefix(other.before, s.before) && strings.HasSuffix(other.after, s.after) &&
		s.reserved() == other.reserved()
}

// reserved reports whether the segment matches only texts that begin with "$".
func (s segment) reserved() bool { return strings.HasPrefix(s.before, "$") }

// Mismatch says why the pattern does not match name, or returns "" if it does.
func (p Pattern) Mismatch(name Name) string {
	if _, ok := p.Bind(name); ok || p.text == "" {
		return ""
	}
	texts := strings.Split(string(name[1:]), "/")
	for i, seg := range p.segments {
		if i == len(texts) {
			break
		}
		if _, ok := seg.bind(texts[i]); !ok {
			return fmt.Sprintf("segment %q is not %q", texts[i], seg)
		}
	}
	switch fixed := len(p.segments); {
	case len(texts) <= fixed:
		return "the channel has too few segments"
	case !p.rest:
		return "the channel has too many segments"
	}
	return "wildcards match no segment that begins with \"$\""
}

// String returns the segment as it was written.
func (s segment) String() string {
	switch s.kind {
	case anySegment:
		return "*"
	case userSegment:
		return s.before + userVariable + s.after
	}
	return s.before
}

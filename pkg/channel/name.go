package channel

import (
	"fmt"
	"strings"
)

// MaxLength bounds a channel's name, in bytes.
const MaxLength = 255

// A Name is a channel's name in its only valid form: segments, each behind a
// slash, such as "/chat/lobby". The first segment is the application. Segments
// that begin with "$" are the server's own.
type Name string

// Parse returns s as a Name, or an error that says what is wrong with it. The
// alphabet is small on purpose: two names that look the same are the same, and
// no name needs escaping in a URL's path or a header.
func Parse(s string) (Name, error) {
	switch {
	case len(s) > MaxLength:
		return "", fmt.Errorf("channel name has %d bytes; the limit is %d", len(s), MaxLength)
	case s == "" || s[0] != '/':
		return "", fmt.Errorf("channel name %q does not begin with \"/\"", s)
	}
	for segment := range strings.SplitSeq(s[1:], "/") {
		if err := checkSegment(segment); err != nil {
			return "", fmt.Errorf("channel name %q: %w", s, err)
		}
	}
	return Name(s), nil
}

func checkSegment(segment string) error {
	switch segment {
	case "":
		return fmt.Errorf("a segment is empty")
	case ".", "..":
		return fmt.Errorf("%q is not a segment", segment)
	}
	for i, r := range segment {
		if !validRune(r) && (r != '$' || i != 0) {
			return fmt.Errorf("%q is not allowed: letters, digits and - _ . ~ @ : + = , ! are", r)
		}
	}
	return nil
}

func validRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return strings.ContainsRune("-_.~@:+=,!", r)
}

// App returns the application that the channel belongs to: its first segment.
func (n Name) App() string {
	app, _, _ := strings.Cut(string(n[1:]), "/")
	return app
}

// Reserved reports whether a segment begins with "$": such channels are the
// server's own and no wildcard matches them.
func (n Name) Reserved() bool { return strings.Contains(string(n), "/$") }

// dead is what the name of a channel for dead messages ends with.
const dead = "/$dead"

// Dead returns the channel for those messages of n that could not be processed. ok is
// false if n is such a channel itself, or its name is too long to have one.
func (n Name) Dead() (name Name, ok bool) {
	if _, is := n.Living(); is || len(n)+len(dead) > MaxLength {
		return "", false
	}
	return n + dead, true
}

// Living returns the channel whose dead messages n is for, if it is one for these.
func (n Name) Living() (name Name, ok bool) {
	text, ok := strings.CutSuffix(string(n), dead)
	return Name(text), ok && text != ""
}

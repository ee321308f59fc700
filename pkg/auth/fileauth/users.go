package fileauth

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxFile = 16 << 20
	// maxName bounds a user's or a group's name, in bytes.
	maxName = 128
)

// A user is one line of the file.
type user struct {
	name   string
	hash   hash
	groups []string
	line   int
}

// String returns the line.
func (u user) String() string {
	return u.name + ":" + u.hash.String() + ":" + strings.Join(u.groups, ",")
}

// A LineError is a mistake in one line of a users' file.
type LineError struct {
	File string
	Line int
	Text string
}

// Error returns "file:line: text".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// readUsers reads a users' file. Its error joins a *LineError for each mistake.
func readUsers(path string) (map[string]user, error) {
	text, err := readText(path)
	if err != nil {
		return nil, err
	}
	users := make(map[string]user)
	var errs []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		u, ok, err := parseLine(line)
		if first, twice := users[u.name]; err == nil && ok && twice {
			err = fmt.Errorf("user %q stands at line %d already", u.name, first.line)
		}
		if err != nil {
			errs = append(errs, &LineError{path, number, err.Error()})
			continue
		}
		if u.line = number; ok {
			users[u.name] = u
		}
	}
	return users, errors.Join(errs...)
}

func readText(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("users' file: %w", err)
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("users' file: %s has more than %d bytes", path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("users' file: %w", err)
	}
	return string(data), nil
}

// parseLine reads one line; ok is false if there is nobody in it.
func parseLine(line string) (u user, ok bool, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return user{}, false, nil
	}
	parts := strings.Split(line, ":")
	if len(parts) != 3 {
		return user{}, false, fmt.Errorf("want name:hash:group,group, and there are %d parts, not 3", len(parts))
	}
	u.name = parts[0]
	if err := CheckName(u.name); err != nil {
		return user{}, false, err
	}
	if u.hash, err = parseHash(parts[1]); err != nil {
		return user{}, false, fmt.Errorf("user %q: %w", u.name, err)
	}
	if parts[2] != "" {
		u.groups = strings.Split(parts[2], ",")
	}
	if err := checkGroups(u.groups); err != nil {
		return user{}, false, fmt.Errorf("user %q: %w", u.name, err)
	}
	return u, true, nil
}

// CheckName returns an error if name cannot be a user's. What can is also a
// segment of a channel's name, so that each user can have channels; the colon
// and the comma have a meaning of their own in the file.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the user's name is empty")
	case len(name) > maxName:
		return fmt.Errorf("the user's name has more than %d bytes", maxName)
	case name == "." || name == "..":
		return fmt.Errorf("%q is not a user's name", name)
	}
	for _, r := range name {
		if !nameRune(r) {
			return fmt.Errorf("user's name %q: %q is not allowed; use letters, digits and any of -_.~@+=!, without spaces", name, r)
		}
	}
	return nil
}

func nameRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return strings.ContainsRune("-_.~@+=!", r)
}

func checkGroups(groups []string) error {
	for i, g := range groups {
		switch {
		case g == "":
			return errors.New("a group's name is empty")
		case len(g) > maxName:
			return fmt.Errorf("a group's name has more than %d bytes", maxName)
		case slices.Contains(groups[:i], g):
			return fmt.Errorf("group %q stands twice", g)
		case !utf8.ValidString(g) || strings.ContainsFunc(g, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ':' || r == ',' }):
			return fmt.Errorf("group %q: spaces, colons, commas and control characters are not allowed", g)
		}
	}
	return nil
}

package ldapauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	ldap "github.com/go-ldap/ldap/v3"

	"github.com/orbitd/orbitd/pkg/auth"
)

// maxName bounds a user's name, in bytes, typed or canonical.
const maxName = 256

// A person is a user's entry, as far as it matters.
type person struct {
	user     string // canonical
	dn       string
	memberOf []string
	partly   error  // memberOf are not all
	closed   string // why nobody may log in by this account; empty: they may
	password string // changes with the password, where the directory tells
	locked   string // since when, where guesses have locked the account
	home     *directory
}

// checkName refuses names that no user has and that could mean something else on
// the way: servers written in C may end a text at its first NUL.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("it is empty")
	case len(name) > maxName:
		return fmt.Errorf("it has more than %d bytes", maxName)
	case !utf8.ValidString(name):
		return errors.New("it is not UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("it has control characters")
	}
	return nil
}

// The attributes that say whether an account is open, and when its password was
// set, in OpenLDAP, 389 Directory Server and Active Directory. A server returns
// those that it knows.
const (
	lockedTime     = "pwdAccountLockedTime"
	accountLock    = "nsAccountLock"
	accountControl = "userAccountControl"
	accountExpires = "accountExpires"
	changedTime    = "pwdChangedTime"
	lastSet        = "pwdLastSet"
	lockoutTime    = "lockoutTime"
)

func (a *Authenticator) attributes() []string {
	list := []string{a.o.UserName, lockedTime, accountLock, accountControl, accountExpires, changedTime, lastSet, lockoutTime}
	if a.o.MemberOf != "" {
		list = append(list, a.o.MemberOf)
	}
	return list
}

// find returns who is meant by a typed name. Nobody is auth.ErrPass, more than
// one auth.ErrDenied.
func (a *Authenticator) find(ctx context.Context, typed string) (*person, error) {
	people, err := a.people(ctx, a.o.UserBase, ldap.ScopeWholeSubtree, fill(a.o.UserFilter, typed, ""), 1)
	return only(people, err, typed)
}

// read returns the person whose entry is dn.
func (a *Authenticator) read(ctx context.Context, dn, typed string) (*person, error) {
	people, err := a.people(ctx, dn, ldap.ScopeBaseObject, fill(a.o.UserFilter, typed, ""), 1)
	if codeOf(err) == ldap.LDAPResultNoSuchObject {
		people, err = nil, nil
	}
	return only(people, err, typed)
}

func only(people []*person, err error, name string) (*person, error) {
	switch {
	case errors.Is(err, errTooMany) || err == nil && len(people) > 1:
		return nil, fmt.Errorf("%w: the directory has several entries for %q", auth.ErrDenied, name)
	case err != nil:
		return nil, err
	case len(people) == 0:
		return nil, fmt.Errorf("%w: the directory has no entry for %q", auth.ErrPass, name)
	}
	return people[0], nil
}

// again returns those of canonical names who are there now. The filter's {user}
// was a typed name, of which only the form is known: "*" is asked in its place,
// and the canonical name beside it. Of whom there are several entries is nobody; where
// these are so many that nothing can be said of the others, those are asked about again.
func (a *Authenticator) again(ctx context.Context, users []string) (map[string]*person, error) {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = equals(a.o.UserName, user)
	}
	base, scope := a.o.UserBase, ldap.ScopeWholeSubtree
	if a.o.UserDN != "" {
		_, base, _ = strings.Cut(a.o.UserDN, ",")
		scope = ldap.ScopeSingleLevel
	}
	found, err := a.search(ctx, base, scope, "(&"+starred(a.o.UserFilter)+anyOf(names)+")", 2*len(users), a.attributes()...)
	switch {
	case errors.Is(err, errTooMany) && len(users) == 1:
		return map[string]*person{}, nil
	case errors.Is(err, errTooMany):
		people, err := a.again(ctx, users[:len(users)/2])
		if err != nil {
			return nil, err
		}
		more, err := a.again(ctx, users[len(users)/2:])
		maps.Copy(people, more)
		return people, err
	case err != nil:
		return nil, err
	}
	people, entries := make(map[string]*person, len(found)), make(map[string]int, len(found))
	for _, f := range found {
		p, err := a.person(f)
		if err != nil {
			a.o.Logger.WithError(err).Warn("an entry names no user")
			continue
		}
		people[p.user] = p
		entries[p.user]++
	}
	maps.DeleteFunc(people, func(user string, _ *person) bool { return entries[user] != 1 || !slices.Contains(users, user) })
	return people, nil
}

// starred returns a filter with "*" in place of {user}.
func starred(filter string) string {
	filter = strings.ReplaceAll(filter, "{user}", "*")
	for strings.Contains(filter, "**") {
		filter = strings.ReplaceAll(filter, "**", "*")
	}
	return filter
}

// people returns the entries that match as persons.
func (a *Authenticator) people(ctx context.Context, base string, scope int, filter string, limit int) ([]*person, error) {
	found, err := a.search(ctx, base, scope, filter, limit, a.attributes()...)
	if err != nil {
		return nil, err
	}
	people := make([]*person, 0, len(found))
	for _, f := range found {
		p, err := a.person(f)
		if err != nil {
			return nil, err
		}
		people = append(people, p)
	}
	return people, nil
}

// person reads an entry. The canonical name is the one that the entry has, never
// the one that was typed.
func (a *Authenticator) person(f found) (*person, error) {
	names := f.entry.GetEqualFoldAttributeValues(a.o.UserName)
	if len(names) > 1 {
		if name, ok := rdn(f.entry.DN, a.o.UserName); ok && slices.Contains(names, name) {
			names = []string{name}
		}
	}
	if len(names) != 1 {
		return nil, fmt.Errorf("%w: entry %s has %d values of %s and not one", auth.ErrDenied, f.entry.DN, len(names), a.o.UserName)
	}
	if err := checkName(names[0]); err != nil {
		return nil, fmt.Errorf("%w: entry %s: %s: %w", auth.ErrDenied, f.entry.DN, a.o.UserName, err)
	}
	p := &person{user: names[0], dn: f.entry.DN, home: f.home, closed: closedBy(f.entry, a.o.Now())}
	if a.o.MemberOf != "" {
		p.memberOf, p.partly = f.entry.GetEqualFoldAttributeValues(a.o.MemberOf), wholly(f.entry, a.o.MemberOf)
	}
	p.password = f.entry.GetEqualFoldAttributeValue(changedTime) + f.entry.GetEqualFoldAttributeValue(lastSet)
	p.locked = f.entry.GetEqualFoldAttributeValue(lockedTime) + strings.TrimLeft(f.entry.GetEqualFoldAttributeValue(lockoutTime), "0")
	return p, nil
}

// wholly checks that an attribute has all its values: of many Active Directory gives a
// part, by another name (MS-ADTS, section 3.1.1.3.1.3.3).
func wholly(e *ldap.Entry, name string) error {
	for _, a := range e.Attributes {
		if base, option, _ := strings.Cut(a.Name, ";"); strings.EqualFold(base, name) && strings.HasPrefix(strings.ToLower(option), "range=") {
			return fmt.Errorf("entry %s: the directory gives a part of %s, %s; search for groups instead (group_base, without member_of)", e.DN, name, option)
		}
	}
	return nil
}

// closedBy returns what closes an account, or nothing. That it was locked because
// somebody has guessed at its password closes no account here: else guessing
// would cut off the user who is connected.
func closedBy(e *ldap.Entry, now time.Time) string {
	control, _ := strconv.ParseUint(e.GetEqualFoldAttributeValue(accountControl), 10, 32)
	switch {
	case e.GetEqualFoldAttributeValue(lockedTime) == "000001010000Z": // for good: slapo-ppolicy(5)
		return lockedTime
	case strings.EqualFold(e.GetEqualFoldAttributeValue(accountLock), "true"):
		return accountLock
	case control&2 != 0: // ADS_UF_ACCOUNTDISABLE
		return accountControl
	case fileTimeOver(e.GetEqualFoldAttributeValue(accountExpires), now):
		return accountExpires
	}
	return ""
}

// fileTimeOver reports whether a time has passed that is given in units of 100 ns
// since 1601; 0 and the greatest are never.
func fileTimeOver(text string, now time.Time) bool {
	const to1970 = 116444736000000000
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n == 1<<63-1 {
		return false
	}
	return now.UnixNano()/100 >= n-to1970
}

package ldapauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	ldap "github.com/go-ldap/ldap/v3"
	"github.com/sirupsen/logrus"
)

// How the groups of groups are found.
const (
	NotNested    = ""              // they are not
	Recursive    = "recursive"     // one look-up after the other
	MatchingRule = "matching_rule" // by the server: Active Directory's LDAP_MATCHING_RULE_IN_CHAIN
)

// InChain is the matching rule with which Active Directory finds the members of
// groups in groups by itself.
const InChain = "1.2.840.113556.1.4.1941"

// Options are what an Authenticator needs. URLs is required, and UserBase or
// UserDN. Everything that comes from outside is put into filters and names as a
// literal.
type Options struct {
	// URLs are the servers of one directory, ldap://, ldaps:// or ldapi://, in
	// the order in which they are tried.
	URLs []string
	// Referrals are further servers, which hold parts of the directory. What a
	// server refers to is looked for there, and nowhere else.
	Referrals []string
	// TLS is what ldaps:// and StartTLS are made with. Its ServerName is used in
	// place of the URL's host if it is set.
	TLS *tls.Config
	// PlainText leaves StartTLS out on ldap://.
	PlainText bool

	// BindDN and BindPassword are the account that searches; none: anonymous.
	BindDN, BindPassword string

	// UserBase and UserFilter find a user's entry by the name that was typed,
	// {user}. Default of the filter: (UserName={user}).
	UserBase, UserFilter string
	// UserDN is a user's DN with {user} in its first part, such as
	// uid={user},ou=people,dc=example,dc=org. If it is set, the bind comes first
	// and UserBase is not used.
	UserDN string
	// UserName is the attribute that holds the canonical name. Default: uid.
	UserName string

	// GroupBase and GroupFilter find the groups of {dn} or {user}. Default of
	// the filter: (member={dn}). Without a base no groups are searched.
	GroupBase, GroupFilter string
	// GroupName is the attribute that holds a group's short name. Default: cn.
	GroupName string
	// MemberOf is the attribute of a user that names groups, and makes the
	// search needless. Only groups below GroupBase count, if that is set.
	MemberOf string
	Nested   string // NotNested, Recursive or MatchingRule

	DialTimeout      time.Duration // of a connection until it is ready; default: 3 s
	OperationTimeout time.Duration // of one question; default: 5 s
	LoginTimeout     time.Duration // of a login as a whole; default: 8 s
	Connections      int           // at most, for searches, and as many for binds; default: 8

	Refresh time.Duration // how long what is known of a user holds; default: 60 s
	Grace   time.Duration // how long it holds while the directory is down; default: 15 min
	// Remember is how long a password that was right is right without a bind,
	// RememberWrong how long one that was wrong is wrong; that grows with each
	// time. 0: 60 s; negative: not at all.
	Remember, RememberWrong time.Duration

	Logger logrus.FieldLogger // default: none
	Now    func() time.Time   // default: time.Now
}

// complete fills in the defaults and returns what is missing or contradicts itself.
func (o *Options) complete() error {
	setDefault(&o.UserName, "uid")
	setDefault(&o.UserFilter, "("+o.UserName+"={user})")
	setDefault(&o.GroupName, "cn")
	setDefault(&o.GroupFilter, defaultGroupFilter(o.Nested))
	setDefault(&o.DialTimeout, 3*time.Second)
	setDefault(&o.OperationTimeout, 5*time.Second)
	setDefault(&o.LoginTimeout, 8*time.Second)
	setDefault(&o.Connections, 8)
	setDefault(&o.Refresh, time.Minute)
	setDefault(&o.Grace, 15*time.Minute)
	setDefault(&o.Remember, time.Minute)
	setDefault(&o.RememberWrong, time.Minute)
	if o.TLS == nil {
		o.TLS = &tls.Config{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		logger := logrus.New()
		logger.SetLevel(logrus.PanicLevel)
		o.Logger = logger
	}
	return o.check()
}

func setDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func defaultGroupFilter(nested string) string {
	if nested == MatchingRule {
		return "(member:" + InChain + ":={dn})"
	}
	return "(member={dn})"
}

func (o *Options) check() error {
	switch {
	case len(o.URLs) == 0:
		return errors.New("ldapauth: no URL of a server")
	case o.UserBase == "" && o.UserDN == "":
		return errors.New("ldapauth: neither the base of a search for users nor the form of their DN")
	case o.BindDN != "" && o.BindPassword == "":
		// RFC 4513, section 5.1.2: a server may take it for an anonymous bind.
		return errors.New("ldapauth: the password of the account that searches is empty")
	case o.Nested == MatchingRule && o.MemberOf != "":
		return errors.New("ldapauth: the matching rule needs a search for groups, and an attribute of the user is set in place of it")
	case o.Nested == MatchingRule && o.GroupBase == "":
		return errors.New("ldapauth: the matching rule needs the base of a search for groups")
	}
	if o.UserDN != "" {
		if err := CheckUserDN(o.UserDN); err != nil {
			return fmt.Errorf("ldapauth: %w", err)
		}
	}
	return errors.Join(CheckUserFilter(o.UserFilter), CheckGroupFilter(o.GroupFilter))
}

// CheckUserFilter returns what is wrong with the filter of a search for users.
func CheckUserFilter(filter string) error {
	switch {
	case !strings.Contains(filter, "{user}"):
		return fmt.Errorf("%q does not contain {user}", filter)
	case strings.Contains(filter, ":={user}"):
		// A connected user is looked up again by the canonical name, whatever the
		// typed one was: the filter is then asked with "*", which such a term has
		// no form for.
		return fmt.Errorf("%q: {user} cannot stand behind a matching rule", filter)
	}
	return checkFilter(filter)
}

// CheckGroupFilter returns what is wrong with the filter of a search for groups.
func CheckGroupFilter(filter string) error {
	if !strings.Contains(filter, "{dn}") && !strings.Contains(filter, "{user}") {
		return fmt.Errorf("%q does not contain {dn}", filter)
	}
	return checkFilter(filter)
}

func checkFilter(filter string) error {
	if _, err := ldap.CompileFilter(strings.NewReplacer("{user}", "u", "{dn}", "d").Replace(filter)); err != nil {
		return fmt.Errorf("%q is not a filter: %w", filter, plain(err))
	}
	return nil
}

// CheckUserDN returns what is wrong with the form of users' DNs.
func CheckUserDN(form string) error {
	first, _, _ := strings.Cut(form, ",")
	dn, err := ldap.ParseDN(strings.ReplaceAll(form, "{user}", "u"))
	switch {
	case strings.Count(form, "{user}") != 1 || !strings.Contains(first, "{user}"):
		return fmt.Errorf("%q does not contain {user} once, in its first part", form)
	case err != nil || len(dn.RDNs) < 2:
		return fmt.Errorf("%q is not the form of a DN", form)
	}
	return nil
}

// plain returns the cause of one of go-ldap's own errors, without its number.
func plain(err error) error {
	if e, ok := errors.AsType[*ldap.Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}

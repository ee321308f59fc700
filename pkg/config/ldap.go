package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// How the groups of groups are found.
const (
	NotNested    = "no"
	Recursive    = "recursive"
	MatchingRule = "matching_rule"
)

// inChain is Active Directory's LDAP_MATCHING_RULE_IN_CHAIN.
const inChain = "1.2.840.113556.1.4.1941"

// LDAP says how a directory is asked. A duration of 0 is none: no grace, nothing
// remembered.
type LDAP struct {
	URLs         []string // ldap://, ldaps:// or ldapi://
	Referrals    []string // servers that may be referred to
	StartTLS     bool     // on ldap://
	CA           string   // path of PEM certificates; empty: the system's
	ServerName   string   // of the certificates; empty: the URL's host
	BindDN       string   // of the account that searches; empty: anonymous
	BindPassword Secret
	UserBase     string
	UserFilter   string // empty: by UserName
	UserDN       string // the form of users' DNs; empty: they are searched for
	UserName     string // attribute
	GroupBase    string // empty: no groups are searched for
	GroupFilter  string // empty: by member
	GroupName    string // attribute
	MemberOf     string // attribute of users; empty: groups are searched for
	Nested       string // NotNested, Recursive or MatchingRule

	DialTimeout      time.Duration
	OperationTimeout time.Duration
	LoginTimeout     time.Duration
	Connections      int // to a directory, for searches, and as many for binds

	Refresh       time.Duration // how often connected users are looked up again
	Grace         time.Duration // how long they stay while that cannot be done
	Remember      time.Duration // how long a password that was right is not asked about
	RememberWrong time.Duration // and one that was wrong
}

func readLDAP(t *table) LDAP {
	l := LDAP{
		URLs:         t.directories("urls"),
		Referrals:    t.directories("referrals"),
		StartTLS:     t.flag("start_tls", true),
		CA:           t.file("ca", "/etc/ssl/certs/ca.pem"),
		ServerName:   t.text("server_name", "", "ldap.example.org"),
		BindDN:       t.text("bind_dn", "", "cn=orbitd,ou=services,dc=example,dc=org"),
		BindPassword: t.secret("bind_password"),
		UserBase:     t.text("user_base", "", "ou=people,dc=example,dc=org"),
		UserFilter:   t.filter("user_filter", "(uid={user})", "{user}"),
		UserDN:       t.text("user_dn", "", "uid={user},ou=people,dc=example,dc=org"),
		UserName:     t.text("user_name", "uid", "uid"),
		GroupBase:    t.text("group_base", "", "ou=groups,dc=example,dc=org"),
		GroupFilter:  t.filter("group_filter", "(member={dn})", "{dn}", "{user}"),
		GroupName:    t.text("group_name", "cn", "cn"),
		MemberOf:     t.text("member_of", "", "memberOf"),
		Nested:       t.choice("nested", NotNested, NotNested, Recursive, MatchingRule),

		DialTimeout:      t.duration("dial_timeout", 3*time.Second, 10*time.Millisecond, time.Minute),
		OperationTimeout: t.duration("operation_timeout", 5*time.Second, 10*time.Millisecond, time.Minute),
		LoginTimeout:     t.duration("login_timeout", 8*time.Second, 10*time.Millisecond, time.Minute),
		Connections:      t.number("connections", 8, 1, 256),

		Refresh:       t.duration("refresh", time.Minute, time.Second, day),
		Grace:         t.duration("grace", 15*time.Minute, 0, 7*day),
		Remember:      t.duration("remember", time.Minute, 0, time.Hour),
		RememberWrong: t.duration("remember_wrong", time.Minute, 0, time.Hour),
	}
	if l.BindPassword.path != "" {
		t.private("bind_password", l.BindPassword.path)
	}
	t.account(l)
	t.whereUsersAre(l)
	t.nesting(l)
	for key, timeout := range map[string]time.Duration{"dial_timeout": l.DialTimeout, "operation_timeout": l.OperationTimeout} {
		if timeout > l.LoginTimeout {
			t.fail(key, "write less, or a longer login_timeout", "%s is longer than a login may take, %s", formatDuration(timeout), formatDuration(l.LoginTimeout))
		}
	}
	return l
}

// directories reads the URLs of servers.
func (t *table) directories(key string) (urls []string) {
	list, ok := t.texts(key, "ldaps://ldap.example.org")
	if key == "urls" && len(list) == 0 {
		if !ok && t.has(key) {
			return nil // of another type, which was told
		}
		t.fail(key, `write urls = ["ldaps://ldap.example.org"]`, "it is missing")
	}
	for _, e := range list {
		if hint := directoryHint(e.text); hint != "" {
			t.failAt(e.line, key, hint, "%q is not the URL of a directory", e.text)
			continue
		}
		urls = append(urls, e.text)
	}
	return urls
}

// directoryHint returns what to write in place of a URL, or "".
func directoryHint(text string) string {
	if path, ok := strings.CutPrefix(text, "ldapi://"); ok {
		if path, err := url.PathUnescape(path); err != nil || path == "" {
			return "write ldapi://%2Frun%2Fslapd%2Fldapi, with the slashes of the path as %2F"
		}
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps":
		return "write ldaps://HOST, or ldap://HOST for StartTLS"
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return fmt.Sprintf("write %s://%s; what is searched, and as whom, are keys of their own", u.Scheme, u.Host)
	}
	return ""
}

// account checks the one that searches. Half of it would search as nobody.
func (t *table) account(l LDAP) {
	switch {
	case l.BindDN != "" && !t.has("bind_password"):
		t.fail("bind_dn", `write also bind_password = "file:PATH" or "credential:NAME"`, "there is no bind_password")
	case l.BindDN == "" && t.has("bind_password"):
		t.fail("bind_password", `write also bind_dn = "cn=orbitd,ou=services,dc=example,dc=org"`, "there is no bind_dn")
	}
}

func (t *table) whereUsersAre(l LDAP) {
	first, rest, _ := strings.Cut(l.UserDN, ",")
	switch {
	case l.UserDN == "" && l.UserBase == "":
		t.fail("user_base", `write user_base = "ou=people,dc=example,dc=org"`, "it is missing")
	case l.UserDN == "":
	case strings.Contains(first, "{user}@") || strings.HasPrefix(first, "{user}"):
		t.fail("user_dn", `write user_base, and user_filter = "(userPrincipalName={user})"`, "%q is not the form of a DN", l.UserDN)
	case strings.Count(l.UserDN, "{user}") != 1 || !strings.Contains(first, "={user}") || !strings.Contains(rest, "="):
		t.fail("user_dn", `write user_dn = "uid={user},ou=people,dc=example,dc=org"`, "%q does not contain {user} once, in its first part", l.UserDN)
	case l.UserBase != "":
		t.noEffect("user_base", "remove it, or user_dn", "the DN of a user is known by user_dn")
	}
	if strings.Contains(l.UserFilter, ":={user}") {
		t.fail("user_filter", `write (attribute={user})`, "{user} cannot stand behind a matching rule")
	}
}

func (t *table) nesting(l LDAP) {
	if l.Nested != MatchingRule {
		return
	}
	switch {
	case l.MemberOf != "":
		t.fail("nested", `remove member_of and write group_base, or write nested = "recursive"`, "a matching rule needs a search, and member_of stands in place of it")
	case l.GroupBase == "":
		t.fail("nested", `write also group_base = "ou=groups,dc=example,dc=org"`, "a matching rule needs a search, and there is no group_base")
	case l.GroupFilter != "" && !strings.Contains(l.GroupFilter, inChain):
		t.fail("group_filter", fmt.Sprintf(`remove it, or write "(member:%s:={dn})"`, inChain), "there is no matching rule in it")
	}
}

// filter checks that a search names whom it searches for.
func (t *table) filter(key, example string, variables ...string) string {
	f := t.text(key, "", example)
	named := slices.ContainsFunc(variables, func(v string) bool { return strings.Contains(f, v) })
	if t.has(key) && !named {
		t.fail(key, fmt.Sprintf("write %s = %q", key, example), "%q does not contain %s", f, strings.Join(variables, " or "))
	}
	return f
}

package samba_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
)

// authenticator is one as etc/orbitd.toml proposes it for Active Directory.
func (d *domain) authenticator(change ...func(*ldapauth.Options)) *ldapauth.Authenticator {
	d.t.Helper()
	text, err := os.ReadFile("../../etc/orbitd.toml")
	must(d.t, err)
	proposed := regexp.MustCompile(`(?m)^# user_filter = "(.+)"\n# user_name = "(.+)", nested = "matching_rule"$`).FindSubmatch(text)
	o := ldapauth.Options{
		URLs: []string{"ldaps://localhost"}, TLS: d.trust, BindDN: service, BindPassword: password,
		UserBase: users, UserFilter: string(proposed[1]), UserName: string(proposed[2]),
		GroupBase: users, Nested: ldapauth.MatchingRule, Remember: -1, RememberWrong: -1,
	}
	for _, c := range change {
		c(&o)
	}
	a, err := ldapauth.New(o)
	must(d.t, err)
	d.t.Cleanup(a.Close)
	return a
}

func (d *domain) login(a *ldapauth.Authenticator, user, password string) (*auth.Identity, error) {
	d.t.Helper()
	return a.Authenticate(d.t.Context(), auth.Credentials{User: user, Password: password})
}

// company adds the account that searches, alice, and groups three deep.
func company(t *testing.T) *domain {
	t.Helper()
	d := newDomain(t)
	d.addUser("orbitd", open)
	d.addUser("alice", open)
	d.addGroup("inner", named("alice"))
	d.addGroup("middle", named("inner"))
	d.addGroup("outer", named("middle"))
	return d
}

// The name at login is the account's or the principal's, in whatever case; the user is
// the same, and has the groups of groups, by whichever way they are found.
func TestNamesAndGroups(t *testing.T) {
	d := company(t)
	all := "inner middle outer"
	for what, c := range map[string]struct {
		change func(*ldapauth.Options)
		groups string
	}{
		"by the matching rule":   {func(*ldapauth.Options) {}, all},
		"one after the other":    {func(o *ldapauth.Options) { o.Nested = ldapauth.Recursive }, all},
		"by memberOf":            {func(o *ldapauth.Options) { o.Nested, o.MemberOf = ldapauth.Recursive, "memberOf" }, all},
		"not nested":             {func(o *ldapauth.Options) { o.Nested = ldapauth.NotNested }, "inner"},
		"from the domain's root": {func(o *ldapauth.Options) { o.UserBase, o.GroupBase = base, base }, all}, // which refers elsewhere
		"StartTLS":               {func(o *ldapauth.Options) { o.URLs = []string{"ldap://localhost"} }, all},
	} {
		a := d.authenticator(c.change)
		for _, typed := range []string{"alice", "ALICE", "alice" + realm, "Alice@AD.example.ORG"} {
			id, err := d.login(a, typed, password)
			if err != nil || id.User != "alice" || short(id.Groups) != c.groups {
				t.Errorf("%s: %q is %+v, %v", what, typed, id, err)
			}
		}
	}
}

// Each reason for which Active Directory refuses a bind is told to the log in words,
// and to the one who logs in it is a refusal like any other.
func TestReasons(t *testing.T) {
	d := company(t)
	for _, name := range []string{"bob", "carol", "dave", "eve"} {
		d.addUser(name, open)
	}
	d.set(named("bob"), "userAccountControl", blocked)
	d.set(named("carol"), "userAccountControl", ageing)
	d.set(named("carol"), "pwdLastSet", "0")
	d.set(named("dave"), "accountExpires", "134000000000000000") // in August 2025
	d.until(base, "lockoutThreshold", "3")
	a := d.authenticator()
	for range 3 {
		_, _ = d.login(a, "eve", "guess")
	}
	for _, c := range []struct{ user, password, code, why string }{
		{"alice", "wrong-secret", "52e", "wrong password"},
		{"bob", password, "533", "the account is disabled"},
		{"carol", password, "773", "the password must be changed first"},
		{"dave", password, "701", "the account has expired"},
		{"eve", password, "775", "the account is locked"},
		{"frank", password, "532", "the password has expired"}, // see the script
	} {
		_, err := d.login(a, c.user, c.password)
		if !errors.Is(err, auth.ErrDenied) || !strings.Contains(fmt.Sprint(err), c.why) || !strings.Contains(fmt.Sprint(err), "data "+c.code+",") {
			t.Errorf("%s: got %v, want %q", c.user, err, c.why)
		}
		if _, err := d.login(a, c.user, "wrong-secret"); !errors.Is(err, auth.ErrDenied) {
			t.Errorf("%s with another password: %v", c.user, err)
		}
	}
	if _, err := d.login(a, "nobody", password); !errors.Is(err, auth.ErrPass) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := d.login(a, "alice", password); err != nil {
		t.Errorf("alice after all: %v", err)
	}
}

// What changes in the directory is found by the next round.
func TestRounds(t *testing.T) {
	d := company(t)
	for _, name := range []string{"bob", "carol"} {
		d.addUser(name, open)
	}
	a := d.authenticator()
	for _, name := range []string{"alice", "bob", "carol"} {
		_, err := d.login(a, name, password)
		must(t, err)
	}
	d.leave("outer", named("middle"))
	d.set(named("bob"), "userAccountControl", blocked)
	d.set(named("carol"), "accountExpires", "134000000000000000")
	now, err := a.Renew(t.Context(), []string{"alice", "bob", "carol"})
	must(t, err)
	if now["alice"] == nil || short(now["alice"].Groups) != "inner middle" || len(now) != 1 {
		t.Errorf("now there are %v", now)
	}
}

// Without TLS no password goes out, and the reason says what to write.
func TestPlainText(t *testing.T) {
	d := company(t)
	a := d.authenticator(func(o *ldapauth.Options) { o.URLs, o.PlainText = []string{"ldap://localhost"}, true })
	_, err := d.login(a, "alice", password)
	if err == nil || errors.Is(err, auth.ErrDenied) || errors.Is(err, auth.ErrPass) || !strings.Contains(err.Error(), "start_tls = true") {
		t.Errorf("got %v", err)
	}
}

package ldapauth_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/tests/slapd"
)

func TestLogin(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	a := open(t, options(s))
	for _, tc := range []struct {
		typed, password string
		user            string
		no              error
	}{
		{"alice", "alice-secret", "alice", nil},
		{"ALICE", "alice-secret", "alice", nil}, // the entry's name counts
		{"alice ", "alice-secret", "alice", nil},
		{"zoë", "zoë-secret", "zoë", nil},
		{`a*(b)\c`, `a*(b)\c-secret`, `a*(b)\c`, nil},
		{"jane", "jane-secret", "jane", nil}, // whose DN is full of signs
		{"eva", "eve-secret", "eve", nil},    // of two values the one in the DN
		{"alice", "bob-secret", "", auth.ErrDenied},
		{"nobody", "alice-secret", "", auth.ErrPass},
		{"twin", "twin-secret", "", auth.ErrDenied},
		{"expired", "expired-secret", "", auth.ErrDenied},
		{"*", "alice-secret", "", auth.ErrPass},
	} {
		id, err := login(t, a, tc.typed, tc.password)
		switch {
		case tc.no != nil:
			wantNo(t, err, tc.no)
		case err != nil || id.User != tc.user:
			t.Errorf("%q is %+v, %v", tc.typed, id, err)
		}
	}
	if _, err := a.Authenticate(t.Context(), auth.Credentials{Token: "x"}); err == nil {
		t.Error("a token is a password")
	}
}

// By mail or uid, whichever was typed; Refresh then knows but the uid.
func TestOtherNames(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	a := open(t, options(s), func(o *ldapauth.Options) {
		o.UserFilter = "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))"
		o.Refresh, o.Remember = time.Nanosecond, -1
	})
	if id := mustLogin(t, a, "alice@example.org", "alice-secret"); id.User != "alice" {
		t.Errorf("got %+v", id)
	}
	for _, user := range []string{"alice", "carol"} { // who has no mail
		if id, err := a.Refresh(t.Context(), user); err != nil || id.User != user {
			t.Errorf("again: %+v, %v", id, err)
		}
	}
	_, err := a.Refresh(t.Context(), "alice@example.org")
	wantNo(t, err, auth.ErrDenied)
}

func TestDirectBind(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	a := open(t, options(s), func(o *ldapauth.Options) {
		o.UserBase, o.UserDN = "", "uid={user},"+slapd.People
		o.Refresh = time.Nanosecond
	})
	for _, tc := range []struct {
		typed, password string
		user            string
		no              error
	}{
		{"alice", "alice-secret", "alice", nil},
		{"Alice", "alice-secret", "alice", nil},
		{`a*(b)\c`, `a*(b)\c-secret`, `a*(b)\c`, nil},
		{"twin", "twin-secret", "twin", nil}, // the DN says which
		{"alice", "bob-secret", "", auth.ErrDenied},
		{"nobody", "alice-secret", "", auth.ErrPass},
		{"twin,ou=staff", "twin-secret", "", auth.ErrPass},
		{"jane", "jane-secret", "", auth.ErrPass}, // whose DN is of another form
	} {
		id, err := login(t, a, tc.typed, tc.password)
		switch {
		case tc.no != nil:
			wantNo(t, err, tc.no)
		case err != nil || id.User != tc.user:
			t.Errorf("%q is %+v, %v", tc.typed, id, err)
		}
	}
	if id, err := a.Refresh(t.Context(), "twin"); err != nil || id.User != "twin" {
		t.Errorf("again: %+v, %v", id, err)
	}
}

// A user whose entry the account that searches cannot see is let in nowhere.
func TestDirectBindUnseen(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	o := options(s)
	o.BindDN, o.BindPassword, o.UserBase, o.UserDN = "", "", "", "uid={user},"+slapd.People
	_, err := login(t, open(t, o), "alice", "alice-secret")
	wantUnknown(t, err)
}

func TestTLS(t *testing.T) {
	s := slapd.Start(t, slapd.Options{Global: []string{"security simple_bind=128"}})
	good, bad := trust(t, s.CA), trust(t, s.Other)
	named := trust(t, s.CA)
	named.ServerName = "ldap.example.org"
	for _, tc := range []struct {
		name   string
		change func(*ldapauth.Options)
		ok     bool
	}{
		{"ldaps", func(o *ldapauth.Options) { o.URLs, o.TLS = []string{s.Secure}, good }, true},
		{"StartTLS", func(o *ldapauth.Options) { o.TLS = good }, true},
		{"ldaps, another authority", func(o *ldapauth.Options) { o.URLs, o.TLS = []string{s.Secure}, bad }, false},
		{"StartTLS, another authority", func(o *ldapauth.Options) { o.TLS = bad }, false},
		{"ldaps, the system's authorities", func(o *ldapauth.Options) { o.URLs = []string{s.Secure} }, false},
		{"StartTLS, another name", func(o *ldapauth.Options) { o.TLS = named }, false},
		{"ldaps, another name", func(o *ldapauth.Options) { o.URLs, o.TLS = []string{s.Secure}, named }, false},
		{"no TLS, and the server wants it", func(o *ldapauth.Options) { o.PlainText = true }, false},
		{"a socket of this machine", func(o *ldapauth.Options) { o.URLs = []string{s.Socket} }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(s)
			o.PlainText = false
			id, err := login(t, open(t, o, tc.change), "alice", "alice-secret")
			if !tc.ok {
				wantUnknown(t, err)
			} else if err != nil || id.User != "alice" {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
	if n := s.Binds(slapd.Person("alice")); n != 3 {
		t.Errorf("alice's password was sent %d times", n)
	}
}

func TestGroups(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	for _, tc := range []struct {
		name   string
		change func(*ldapauth.Options)
		user   string
		in     []string
		notIn  []string
	}{
		{"by search", func(*ldapauth.Options) {}, "alice", []string{"traders", "admins", slapd.Group("admins")}, []string{"everyone", "ops"}},
		{"by search, nested", func(o *ldapauth.Options) { o.Nested = ldapauth.Recursive }, "alice", []string{"traders", "admins", "everyone"}, []string{"ops"}},
		{"by the user's name", func(o *ldapauth.Options) { o.GroupFilter = "(memberUid={user})" }, "alice", []string{"ops"}, []string{"traders"}},
		{"by both", func(o *ldapauth.Options) { o.GroupFilter = "(|(memberUid={user})(member={dn}))" }, "alice", []string{"ops", "traders"}, nil},
		{"memberOf", func(o *ldapauth.Options) { o.MemberOf = "memberOf" }, "alice", []string{"traders", "admins"}, []string{"everyone"}},
		{"memberOf, nested", func(o *ldapauth.Options) { o.MemberOf, o.Nested = "memberOf", ldapauth.Recursive }, "alice", []string{"traders", "everyone"}, nil},
		{"memberOf below another base", func(o *ldapauth.Options) { o.MemberOf, o.GroupBase = "memberOf", "ou=elsewhere,"+slapd.Base }, "alice", nil, []string{"traders"}},
		{"memberOf without a base", func(o *ldapauth.Options) { o.MemberOf, o.GroupBase = "memberOf", "" }, "alice", []string{"traders"}, nil},
		{"none asked for", func(o *ldapauth.Options) { o.GroupBase = "" }, "alice", nil, []string{"traders"}},
		{"a cycle", func(o *ldapauth.Options) { o.Nested = ldapauth.Recursive }, "dave", []string{"loop-a", "loop-b"}, nil},
		{"a cycle by memberOf", func(o *ldapauth.Options) { o.MemberOf, o.Nested = "memberOf", ldapauth.Recursive }, "dave", []string{"loop-a", "loop-b"}, nil},
		{"a short name like another's DN", func(*ldapauth.Options) {}, "bob", []string{"traders", "ou=odd," + slapd.Groups}, []string{slapd.Group("admins"), "admins"}},
		{"of a DN full of signs", func(*ldapauth.Options) {}, "jane", nil, []string{"traders"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.Join(slapd.Group("loop-a"), slapd.Group("loop-b"))
			defer s.Leave(slapd.Group("loop-a"), slapd.Group("loop-b"))
			id := mustLogin(t, open(t, options(s), tc.change), tc.user, tc.user+"-secret")
			if !has(id, tc.in...) {
				t.Errorf("groups %q, want %q", id.Groups, tc.in)
			}
			for _, g := range tc.notIn {
				if has(id, g) {
					t.Errorf("groups %q, with %q", id.Groups, g)
				}
			}
			if !slices.IsSorted(id.Groups) {
				t.Errorf("not in order: %q", id.Groups)
			}
		})
	}
}

// A group whose DN is written in another way is the same group.
func TestGroupNames(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	s.Add("CN=Floor  Staff, "+slapd.Groups, "objectClass: groupOfNames", "cn: Floor  Staff", "member: "+slapd.Person("carol"))
	id := mustLogin(t, open(t, options(s)), "carol", "carol-secret")
	if !has(id, "Floor  Staff", "cn=floor  staff,"+slapd.Groups) {
		t.Errorf("groups %q", id.Groups)
	}
}

func TestOptions(t *testing.T) {
	good := ldapauth.Options{URLs: []string{"ldaps://ldap.example.org"}, UserBase: slapd.People}
	for name, spoil := range map[string]func(*ldapauth.Options){
		"no server":                     func(o *ldapauth.Options) { o.URLs = nil },
		"a web site":                    func(o *ldapauth.Options) { o.URLs = []string{"https://ldap.example.org"} },
		"a server without a name":       func(o *ldapauth.Options) { o.URLs = []string{"ldap:///"} },
		"a socket without a path":       func(o *ldapauth.Options) { o.URLs = []string{"ldapi://"} },
		"a referral to a web site":      func(o *ldapauth.Options) { o.Referrals = []string{"https://ldap.example.org"} },
		"nowhere to look for users":     func(o *ldapauth.Options) { o.UserBase = "" },
		"an account without a password": func(o *ldapauth.Options) { o.BindDN = slapd.Service },
		"a filter for everybody":        func(o *ldapauth.Options) { o.UserFilter = "(uid=*)" },
		"half a filter":                 func(o *ldapauth.Options) { o.UserFilter = "(uid={user}" },
		"a matching rule for users":     func(o *ldapauth.Options) { o.UserFilter = "(uid:caseExactMatch:={user})" },
		"a filter for all groups":       func(o *ldapauth.Options) { o.GroupFilter = "(member=*)" },
		"a DN without a user":           func(o *ldapauth.Options) { o.UserDN = slapd.People },
		"a DN with the user behind":     func(o *ldapauth.Options) { o.UserDN = "ou=people,uid={user}" },
		"a user who is no DN":           func(o *ldapauth.Options) { o.UserDN = "{user}@example.org" },
		"a rule without a base":         func(o *ldapauth.Options) { o.Nested = ldapauth.MatchingRule },
		"a rule and memberOf": func(o *ldapauth.Options) {
			o.Nested, o.GroupBase, o.MemberOf = ldapauth.MatchingRule, slapd.Groups, "memberOf"
		},
	} {
		o := good
		spoil(&o)
		if _, err := ldapauth.New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// A name means to Find whom it means at a login, and is refused where that is, with any
// password.
func TestFind(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	s.Set(slapd.Person("dave"), "pwdAccountLockedTime", "000001010000Z")
	for _, dn := range []string{"", "uid={user}," + slapd.People} {
		a := open(t, options(s), func(o *ldapauth.Options) { o.UserDN = dn })
		for typed, password := range map[string]string{
			"bob": "bob-secret", "BOB": "bob-secret", " Bob ": "bob-secret", "eve": "eve-secret", "eva": "eve-secret",
			"twin": "twin-secret", "dave": "dave-secret", "nobody": "x", "*": "x", "b\x00ob": "bob-secret", "bob,ou=people": "bob-secret",
		} {
			found, err := a.Find(t.Context(), typed)
			proven, want := login(t, a, typed, password)
			if errors.Is(err, auth.ErrPass) != errors.Is(want, auth.ErrPass) || errors.Is(err, auth.ErrDenied) != errors.Is(want, auth.ErrDenied) {
				t.Errorf("%q, %q: found %v, logged in %v", dn, typed, err, want)
			} else if !reflect.DeepEqual(found, proven) {
				t.Errorf("%q, %q: found %v, logged in as %v", dn, typed, found, proven)
			}
		}
	}
}

package ldapauth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	ldap "github.com/go-ldap/ldap/v3"
)

// L2: whatever is put in comes out as one value of one comparison.
func FuzzFill(f *testing.F) {
	for _, s := range []string{"alice", "*", ")(uid=*", "a\x00b", `\2a`, " a ", "#a", "e\u0301", "{dn}", "{user}", "\xff", ",+\"<>;=", "a\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		filter, err := ldap.CompileFilter(fill("(&(objectClass=person)(uid={user})(member={dn}))", value, value))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if n := len(filter.Children); n != 3 {
			t.Fatalf("%q makes %d comparisons", value, n)
		}
		for _, term := range filter.Children[1:] {
			if got := assertion(term); got != value {
				t.Errorf("%q becomes %q", value, got)
			}
		}
		if value == "" || strings.ContainsRune(value, '\uFFFD') || checkName(value) != nil {
			return // no name that is filled into a DN
		}
		dn, err := ldap.ParseDN(fillDN("uid={user},ou=people,dc=example", value))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if len(dn.RDNs) != 3 || len(dn.RDNs[0].Attributes) != 1 || dn.RDNs[0].Attributes[0].Value != value {
			t.Errorf("%q becomes %q", value, dn)
		}
	})
}

// assertion returns the value of an equality term, "" for any other.
func assertion(term *ber.Packet) string {
	if term.Tag != ldap.FilterEqualityMatch || len(term.Children) != 2 {
		return fmt.Sprintf("a term of kind %d", term.Tag)
	}
	s, _ := term.Children[1].Value.(string)
	return s
}

func TestFoldDN(t *testing.T) {
	for in, want := range map[string]string{
		"CN=Traders,OU=Groups,DC=Example":      "cn=traders,ou=groups,dc=example",
		"cn = Traders , ou=groups, dc=example": "cn=traders,ou=groups,dc=example",
		`CN=A\2cB\, C,DC=Example`:              `cn=a\,b\, c,dc=example`,
		"CN=ÉTÉ,DC=Example":                    "cn=été,dc=example",
		`CN=\C3\89T\C3\89,DC=Example`:          "cn=été,dc=example",
		"uid=B+CN=A,DC=Example":                "cn=a+uid=b,dc=example",
		"not a DN":                             "not a dn",
		"":                                     "",
	} {
		if got := foldDN(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if below("cn=a,dc=evilexample", "dc=example") || below("dc=example", "dc=example") || !below("cn=a,dc=example", "dc=example") {
		t.Error("below")
	}
}

// What is remembered is bounded, and forgotten in time.
func TestMemory(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := newMemory(time.Minute, time.Minute, func() time.Time { return now })
	m.limit = 100
	d := m.digest("a", "bc")
	if m.digest("ab", "c") == d || m.digest("a", "bc") != d {
		t.Error("the digest")
	}
	if newMemory(1, 1, time.Now).digest("a", "bc") == d {
		t.Error("two processes have one key")
	}
	for i := range m.limit + 10 {
		name := fmt.Sprint(i)
		m.wasRight(m.digest(name, "x"), name)
		m.wasWrong(m.digest(name, "y"), "", true)
	}
	if len(m.right) != m.limit || len(m.last) != m.limit || len(m.wrong) != m.limit {
		t.Errorf("%d, %d and %d are remembered", len(m.right), len(m.last), len(m.wrong))
	}
	if _, ok := m.isRight(m.digest("0", "x")); !ok || !m.isWrong(m.digest("0", "y"), "") {
		t.Error("what was there is gone")
	}
	now = now.Add(3 * longestWrong)
	if _, ok := m.isRight(m.digest("0", "x")); ok || m.isWrong(m.digest("0", "y"), "") {
		t.Error("what is over counts")
	}
	m.wasRight(m.digest("new", "x"), "new")
	m.wasWrong(m.digest("new", "y"), "", true)
	if len(m.right) != 1 || len(m.last) != 1 || len(m.wrong) != 1 {
		t.Errorf("%d, %d and %d are remembered", len(m.right), len(m.last), len(m.wrong))
	}
}

// One password of a user is right, the last that was.
func TestMemoryOfOneUser(t *testing.T) {
	m := newMemory(time.Minute, time.Minute, time.Now)
	old, young := m.digest("alice", "old"), m.digest("alice@example.org", "new")
	m.wasRight(old, "alice")
	m.wasRight(young, "alice")
	if _, ok := m.isRight(old); ok {
		t.Error("the old password is right")
	}
	if user, ok := m.isRight(young); !ok || user != "alice" {
		t.Error("the new password is not")
	}
	m.forgetRight("alice")
	if _, ok := m.isRight(young); ok {
		t.Error("it was not forgotten")
	}
	off := newMemory(-1, -1, time.Now)
	off.wasRight(old, "alice")
	off.wasWrong(young, "", true)
	if _, ok := off.isRight(old); ok || off.isWrong(young, "") {
		t.Error("it remembers")
	}
}

// Active Directory's ways to close an account.
func TestClosedBy(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct{ attribute, value, want string }{
		{"userAccountControl", "512", ""},
		{"userAccountControl", "514", accountControl},
		{"useraccountcontrol", "66050", accountControl},
		{"accountExpires", "0", ""},
		{"accountExpires", "9223372036854775807", ""},
		{"accountExpires", "134000000000000000", accountExpires}, // in August 2025
		{"accountExpires", "140000000000000000", ""},             // in 2044
		{"nsAccountLock", "TRUE", accountLock},
		{"nsAccountLock", "false", ""},
		{"pwdAccountLockedTime", "000001010000Z", lockedTime},
		{"pwdAccountLockedTime", "20261126000000Z", ""},
	} {
		e := ldap.NewEntry("uid=alice", map[string][]string{tc.attribute: {tc.value}})
		if got := closedBy(e, now); got != tc.want {
			t.Errorf("%s = %s: %q", tc.attribute, tc.value, got)
		}
	}
}

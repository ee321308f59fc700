package ldapauth_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	ldap "github.com/go-ldap/ldap/v3"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/tests/slapd"
)

// What slapd's password policy has against an account keeps everybody out of it, and
// the log says what it is. Who is connected stays. Once the policy is content the right
// password is right again, however often it was tried meanwhile.
func TestPolicy(t *testing.T) {
	alice := slapd.Person("alice")
	for name, tc := range map[string]struct {
		spoil, heal func(*slapd.Server)
		why         string
	}{
		"locked by guesses": {
			func(s *slapd.Server) {
				for range 3 {
					guess(t, s, alice)
				}
			},
			func(s *slapd.Server) { s.Set(alice, "pwdAccountLockedTime") },
			"Account locked",
		},
		"locked by an administrator": {
			func(s *slapd.Server) { s.Set(alice, "pwdAccountLockedTime", "000001010000Z") },
			func(s *slapd.Server) { s.Set(alice, "pwdAccountLockedTime") },
			"Account locked",
		},
		"expired": {
			func(s *slapd.Server) {
				s.Set(alice, "pwdPolicySubentry", "cn=expired,ou=policies,"+slapd.Base)
				s.Set(alice, "pwdChangedTime", "20200101000000Z")
			},
			func(s *slapd.Server) { s.Set(alice, "pwdPolicySubentry") },
			"Password expired",
		},
		"to be changed first": {
			func(s *slapd.Server) { s.Set(alice, "pwdReset", "TRUE") },
			func(s *slapd.Server) { s.Set(alice, "pwdReset") },
			"Password must be changed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := slapd.Start(t, slapd.Options{})
			o, c := clocked(options(s))
			o.Remember = -1
			a := open(t, o)
			mustLogin(t, a, "alice", "alice-secret")
			tc.spoil(s)
			_, err := login(t, a, "alice", "alice-secret")
			if wantNo(t, err, auth.ErrDenied); !strings.Contains(fmt.Sprint(err), tc.why) {
				t.Errorf("it does not say %q: %v", tc.why, err)
			}
			for range 10 {
				_, err = login(t, a, "alice", "wrong-secret")
				wantNo(t, err, auth.ErrDenied)
				_, err = login(t, a, "alice", "alice-secret")
				wantNo(t, err, auth.ErrDenied)
				c.advance(time.Minute)
			}
			stays := "alice+traders"
			if strings.Contains(name, "administrator") {
				stays = ""
			}
			if now := renew(t, a, "alice"); now != stays {
				t.Errorf("looked up again: %q", now)
			}
			tc.heal(s)
			mustLogin(t, a, "alice", "alice-secret")
		})
	}
}

// guess binds with a wrong password, by another way than ours.
func guess(t *testing.T, s *slapd.Server, dn string) {
	t.Helper()
	c, err := ldap.DialURL(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Bind(dn, "guess"); err == nil {
		t.Fatal("the guess was right")
	}
}

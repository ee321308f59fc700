package ldapauth_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jimlambrt/gldap"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/tests/slapd"
)

// L1: what a directory may take for no password at all is refused before any of
// it has left this process (RFC 4513, section 5.1.2).
func TestEmptyPasswords(t *testing.T) {
	s := slapd.Start(t, slapd.Options{Global: []string{"allow bind_anon_cred bind_anon_dn"}})
	var sent atomic.Bool
	p := newProxy(t, strings.TrimPrefix(s.Plain, "ldap://"), func(c net.Conn, b []byte) { sent.Store(true); pass(c, b) })
	for _, direct := range []bool{false, true} {
		o := options(s)
		o.URLs = []string{p.url}
		if direct {
			o.UserDN = "uid={user}," + slapd.People
		}
		a := open(t, o)
		for _, password := range []string{"", "\x00", " ", "\t ", "\u00a0", "alice-secret\x00", "\x00alice-secret", strings.Repeat("x", 1025)} {
			_, err := login(t, a, "alice", password)
			wantNo(t, err, auth.ErrDenied)
		}
		for _, user := range []string{"alice\x00", "al\nice", "\xff", strings.Repeat("a", 257)} {
			_, err := login(t, a, user, "alice-secret")
			wantNo(t, err, auth.ErrDenied)
		}
	}
	if p.conns.Load() != 0 || sent.Load() {
		t.Error("something of it was sent")
	}
	o := options(s)
	o.BindPassword = ""
	if _, err := ldapauth.New(o); err == nil {
		t.Error("the account that searches has no password")
	}
}

// L1: a server that takes a bind for one that proves nothing, and calls it a
// success, is not believed.
func TestSuccessThatProvesNothing(t *testing.T) {
	f := newFake(t, func(f *fake) {
		f.bind = func(w *gldap.ResponseWriter, r *gldap.Request) { answerBind(w, r, gldap.ResultSuccess) }
		f.whoami = func(w *gldap.ResponseWriter, r *gldap.Request) {
			_ = w.Write(r.NewExtendedResponse(gldap.WithResponseCode(gldap.ResultSuccess)))
		}
	})
	_, err := login(t, open(t, f.options()), "alice", "whatever")
	wantUnknown(t, err)
}

// L2, L3: names that mean something in a filter or a DN are names and nothing
// else; none of them is alice, and none matches more than one.
func TestInjection(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	o := options(s)
	direct := o
	direct.UserDN = "uid={user}," + slapd.People
	for name, a := range map[string]*ldapauth.Authenticator{"search": open(t, o), "direct": open(t, direct)} {
		for _, user := range []string{
			"*", "a*", "ali*e", "alice)(uid=*", "*)(uid=alice", "alice)(|(uid=*", "(uid=alice)", `\61lice`, `alice\`, `\2a`,
			"alice,ou=people", "alice+cn=alice", "alice,ou=people,dc=example,dc=org", `alice\2cou=people`, "#616c696365", "uid=alice",
			"{user}", "{dn}", "alice{user}", "аlice", // with a Cyrillic letter
		} {
			_, err := login(t, a, user, "alice-secret")
			if !wantRefused(err) {
				t.Errorf("%s: %q: %v", name, user, err)
			}
		}
	}
}

func wantRefused(err error) bool {
	return err != nil && (strings.Contains(err.Error(), auth.ErrPass.Error()) || strings.Contains(err.Error(), auth.ErrDenied.Error()))
}

// L3, L8: one wrong password is one bind, in whatever way the name is written.
// Else changing its case would lock the account out, or go around a lock.
func TestOneNameOneBind(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	for i, change := range []func(*ldapauth.Options){
		func(*ldapauth.Options) {},
		func(o *ldapauth.Options) { o.UserDN = "uid={user}," + slapd.People },
	} {
		who := []string{"alice", "bob"}[i]
		a := open(t, options(s), change)
		for _, typed := range []string{who, strings.ToUpper(who), strings.ToUpper(who[:1]) + who[1:], who} {
			_, err := login(t, a, typed, "wrong-secret")
			wantNo(t, err, auth.ErrDenied)
		}
		n := 0
		for _, spelled := range bindsOf(t, s) {
			if strings.EqualFold(spelled, slapd.Person(who)) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: %d binds", who, n)
		}
		mustLogin(t, a, who, who+"-secret")
	}
}

var bindLine = regexp.MustCompile(`(?m)conn=(\d+) op=\d+ (BIND dn="(.*)" method|SRCH base)`)

func bindsOf(t *testing.T, s *slapd.Server) (dns []string) {
	t.Helper()
	for _, m := range logged(t, s) {
		if strings.HasPrefix(m[2], "BIND") {
			dns = append(dns, m[3])
		}
	}
	return dns
}

func logged(t *testing.T, s *slapd.Server) [][]string {
	t.Helper()
	log, err := os.ReadFile(s.Log)
	if err != nil {
		t.Fatal(err)
	}
	return bindLine.FindAllStringSubmatch(string(log), -1)
}

// L4: many at a time, right and wrong passwords, on connections that break at any
// moment: there is no wrong verdict, only "could not be found out".
func TestMixedLogins(t *testing.T) {
	s := slapd.Start(t, slapd.Options{Config: []string{"limits * size=unlimited"}})
	s.Set("cn=default,ou=policies,"+slapd.Base, "pwdLockout", "FALSE")
	var pieces atomic.Int32
	p := newProxy(t, strings.TrimPrefix(s.Plain, "ldap://"), func(c net.Conn, b []byte) {
		if pieces.Add(1)%23 == 0 {
			_ = c.Close()
			return
		}
		pass(c, b)
	})
	o := options(s)
	o.URLs, o.Remember, o.RememberWrong = []string{p.url}, -1, -1
	clock := newClock()
	o.Now = clock.Now
	a := open(t, o)
	const people, each = 32, 30
	var verdicts, unknown atomic.Int32
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range each {
				user := []string{"alice", "bob", "carol", "dave"}[random.IntN(4)]
				right := random.IntN(2) == 0
				password := "wrong-secret"
				if right {
					password = user + "-secret"
				}
				id, err := login(t, a, user, password)
				switch {
				case err == nil && (!right || id.User != user):
					t.Errorf("%s with %q is %+v", user, password, id)
				case err == nil:
					verdicts.Add(1)
				case wantRefused(err) && right:
					t.Errorf("%s with %q: %v", user, password, err)
				case wantRefused(err):
					verdicts.Add(1)
				default:
					unknown.Add(1)
					clock.advance(time.Minute) // the server has been left alone for long enough
				}
			}
		})
	}
	all.Wait()
	if verdicts.Load() < people*each/4 || unknown.Load() == 0 {
		t.Errorf("%d verdicts, %d unknown", verdicts.Load(), unknown.Load())
	}
	checkPools(t, s)
}

// checkPools: a connection on which a user has bound has searched nothing, as
// whomever.
func checkPools(t *testing.T, s *slapd.Server) {
	t.Helper()
	bound := map[string]string{}
	for _, m := range logged(t, s) {
		switch conn := m[1]; {
		case m[3] != "" && m[3] != slapd.Service && strings.HasPrefix(m[2], "BIND"):
			bound[conn] = m[3]
		case strings.HasPrefix(m[2], "SRCH") && bound[conn] != "":
			t.Errorf("connection %s was bound as %s and has searched", conn, bound[conn])
		}
	}
	if len(bound) == 0 {
		t.Error("nobody has bound")
	}
}

// L5: where StartTLS does not come about, nothing is sent that needs it.
func TestStartTLSStripped(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	to := strings.TrimPrefix(s.Plain, "ldap://")
	// Answers to StartTLS, which is message 1: a refusal, and a success.
	refusal := []byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00")
	success := []byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")
	// A bind's success, message 2, for whoever reads on without TLS.
	injected := []byte("\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00")
	for name, harm := range map[string]func(net.Conn, []byte){
		"refused": func(c net.Conn, _ []byte) { pass(c, refusal) },
		"closed":  func(c net.Conn, _ []byte) { _ = c.Close() },
		"granted, and no TLS": func(c net.Conn, b []byte) {
			if b[0] == 0x30 {
				pass(c, success)
			}
		},
		"more behind the answer": func(c net.Conn, b []byte) {
			if b[0] == 0x30 {
				pass(c, append(success[:len(success):len(success)], injected...))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, to, harm)
			o := options(s)
			o.URLs, o.PlainText, o.TLS = []string{p.url}, false, trust(t, s.CA)
			o.DialTimeout = 200 * time.Millisecond
			_, err := login(t, open(t, o), "alice", "alice-secret")
			wantUnknown(t, err)
			for _, secret := range []string{"secret", "alice", slapd.Service} {
				if strings.Contains(p.sent(), secret) {
					t.Errorf("%q was sent in the clear", secret)
				}
			}
		})
	}
}

// L8: a client that comes back with the same wrong password for an hour is worth
// five binds, and the account is not locked by it.
func TestWrongPasswordDoesNotLock(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	c := newClock()
	a := open(t, options(s), func(o *ldapauth.Options) { o.Now = c.Now })
	for range 60 * 12 {
		_, err := login(t, a, "alice", "wrong-secret")
		wantNo(t, err, auth.ErrDenied)
		c.advance(5 * time.Second)
	}
	if n := s.Binds(slapd.Person("alice")); n < 2 || n > 5 {
		t.Errorf("%d binds in an hour", n)
	}
	// slapd's clock is another: for it all of them came at once.
	s.Set(slapd.Person("alice"), "pwdAccountLockedTime")
	mustLogin(t, a, "alice", "alice-secret")
}

// L8: who is not there is told as late as who has another password, and so is whom another
// authenticator has refused: as much goes to the directory.
func TestNobodyTakesAsLong(t *testing.T) {
	f := newFake(t)
	a := open(t, f.options())
	count := func(user string, pretend bool) (binds, searches int32) {
		binds, searches = f.binds.Load(), f.searches.Load()
		if pretend {
			a.Pretend(t.Context(), auth.Credentials{User: user, Password: "wrong-secret"}, false)
		} else {
			_, _ = login(t, a, user, "wrong-secret")
		}
		return f.binds.Load() - binds, f.searches.Load() - searches
	}
	for _, time := range []string{"first", "second"} {
		b1, s1 := count("alice", false)
		b2, s2 := count("nobody", false)
		b3, s3 := count("of another", true)
		if b1 != b2 || s1 != s2 || b1 != b3 || s1 != s3 {
			t.Errorf("%s time: %d binds and %d searches, %d and %d for nobody, and %d and %d where it pretends", time, b1, s1, b2, s2, b3, s3)
		}
	}
	before := f.searches.Load()
	a.Pretend(t.Context(), auth.Credentials{User: "nobody", Password: "wrong-secret"}, true)
	if f.searches.Load() != before {
		t.Error("it pretends where it was asked")
	}
}

// L9: a referral leads nowhere, but to a server that is configured, and there in
// the way that is configured.
func TestReferrals(t *testing.T) {
	other := slapd.Start(t, slapd.Options{})
	other.Add("uid=frank,"+slapd.People, "objectClass: inetOrgPerson", "uid: frank", "cn: frank", "sn: frank", "userPassword: frank-secret")
	eavesdropper := newProxy(t, strings.TrimPrefix(other.Plain, "ldap://"), pass)
	s := slapd.Start(t, slapd.Options{Referral: strings.Replace(eavesdropper.url, "127.0.0.1", "localhost", 1)})
	a := open(t, options(s))
	_, err := login(t, a, "frank", "frank-secret")
	wantNo(t, err, auth.ErrPass)
	mustLogin(t, a, "alice", "alice-secret")
	if eavesdropper.conns.Load() != 0 {
		t.Error("a referral was followed")
	}
	o := options(s)
	o.Referrals = []string{strings.Replace(other.Plain, "127.0.0.1", "localhost", 1)}
	b := open(t, o)
	if id := mustLogin(t, b, "frank", "frank-secret"); id.User != "frank" {
		t.Errorf("got %+v", id)
	}
	_, err = login(t, b, "frank", "wrong-secret")
	wantNo(t, err, auth.ErrDenied)
	// Of whom both servers know there are two.
	_, err = login(t, b, "alice", "alice-secret")
	wantNo(t, err, auth.ErrDenied)
	if eavesdropper.conns.Load() != 0 {
		t.Error("a referral was followed to where it says, not to where it may")
	}
	other.Stop()
	_, err = login(t, open(t, o), "bob", "bob-secret")
	wantUnknown(t, err)
}

// A directory that answers nothing but a referral.
func TestOnlyReferral(t *testing.T) {
	s := slapd.Start(t, slapd.Options{Referral: "ldap://localhost"})
	o := options(s)
	o.UserBase = slapd.Away
	_, err := login(t, open(t, o), "alice", "alice-secret")
	wantUnknown(t, err)
	other := slapd.Start(t, slapd.Options{})
	o.Referrals = []string{strings.Replace(other.Plain, "127.0.0.1", "localhost", 1)}
	mustLogin(t, open(t, o), "alice", "alice-secret")
}

// The reasons of Active Directory, and of a password policy, are for the log.
func TestReasons(t *testing.T) {
	for diagnostic, want := range map[string]string{
		"80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 52e, v4563": "wrong password",
		"80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 533, v4563": "the account is disabled",
		"80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563": "the account is locked",
	} {
		f := newFake(t, func(f *fake) {
			f.bind = func(w *gldap.ResponseWriter, r *gldap.Request) {
				answer := r.NewBindResponse(gldap.WithResponseCode(gldap.ResultInvalidCredentials))
				answer.SetDiagnosticMessage(diagnostic)
				_ = w.Write(answer)
			}
		})
		_, err := login(t, open(t, f.options()), "alice", "alice-secret")
		if wantNo(t, err, auth.ErrDenied); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f := newFake(t, func(f *fake) {
		f.bind = func(w *gldap.ResponseWriter, r *gldap.Request) {
			reset, _ := gldap.NewControlBeheraPasswordPolicy(gldap.WithErrorCode(gldap.BeheraChangeAfterReset))
			answer := r.NewBindResponse(gldap.WithResponseCode(gldap.ResultSuccess))
			answer.SetControls(reset)
			_ = w.Write(answer)
		}
	})
	_, err := login(t, open(t, f.options()), "alice", "alice-secret")
	wantNo(t, err, auth.ErrDenied)
}

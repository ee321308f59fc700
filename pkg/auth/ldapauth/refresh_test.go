package ldapauth_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ldap "github.com/go-ldap/ldap/v3"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/tests/slapd"
)

// renew looks users up again and returns, by name, who is there and in traders,
// or in everyone.
func renew(t *testing.T, a *ldapauth.Authenticator, users ...string) string {
	t.Helper()
	now, err := a.Renew(t.Context(), users)
	if err != nil {
		t.Fatal(err)
	}
	return told(now)
}

func told(now map[string]*auth.Identity) string {
	var list []string
	for _, user := range slices.Sorted(maps.Keys(now)) {
		text := user
		for _, g := range []string{"traders", "everyone"} {
			if has(now[user], g) {
				text += "+" + g
			}
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func refresh(t *testing.T, a *ldapauth.Authenticator, user string) *auth.Identity {
	t.Helper()
	id, err := a.Refresh(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// L11: what the directory says of those who are connected is found in the next
// round, and only what has changed is told.
func TestRenew(t *testing.T) {
	for name, change := range map[string]func(*ldapauth.Options){
		"groups by search":         func(*ldapauth.Options) {},
		"groups by search, nested": func(o *ldapauth.Options) { o.Nested = ldapauth.Recursive },
		"memberOf":                 func(o *ldapauth.Options) { o.MemberOf = "memberOf" },
		"memberOf, nested":         func(o *ldapauth.Options) { o.MemberOf, o.Nested = "memberOf", ldapauth.Recursive },
		"direct bind":              func(o *ldapauth.Options) { o.UserDN = "uid={user}," + slapd.People },
	} {
		t.Run(name, func(t *testing.T) {
			s := slapd.Start(t, slapd.Options{})
			a := open(t, options(s), change)
			users := []string{"alice", "bob", "carol", "dave"}
			for _, u := range users {
				mustLogin(t, a, u, u+"-secret")
			}
			in := ""
			if strings.Contains(name, "nested") {
				in = "+everyone"
			}
			if now, want := renew(t, a, users...), "alice+traders"+in+" bob+traders"+in+" carol+everyone dave"; now != want {
				t.Errorf("got %q, want %q", now, want)
			}
			s.Leave(slapd.Group("traders"), slapd.Person("bob"))
			s.Join(slapd.Group("traders"), slapd.Person("carol"))
			s.Delete(slapd.Person("dave"))
			if now, want := renew(t, a, users...), "alice+traders"+in+" bob carol+traders+everyone"; now != want {
				t.Errorf("got %q, want %q", now, want)
			}
			if has(refresh(t, a, "bob"), "traders") || !has(refresh(t, a, "carol"), "traders") || !has(refresh(t, a, "alice"), "traders") {
				t.Error("the groups are those of before")
			}
			_, err := a.Refresh(t.Context(), "dave")
			wantNo(t, err, auth.ErrDenied)
		})
	}
}

// A group that leaves a group takes its members with it, however often its groups
// were asked for in the last round.
func TestRenewNested(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	a := open(t, options(s), func(o *ldapauth.Options) { o.Nested = ldapauth.Recursive })
	for _, u := range []string{"alice", "bob"} {
		if !has(mustLogin(t, a, u, u+"-secret"), "everyone") {
			t.Errorf("%s is not in everyone", u)
		}
	}
	s.Leave(slapd.Group("everyone"), slapd.Group("traders"))
	if now := renew(t, a, "alice", "bob"); now != "alice+traders bob+traders" {
		t.Errorf("got %q", now)
	}
}

// Accounts are closed in more ways than by deleting them.
func TestClosedAccounts(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	a := open(t, options(s))
	mustLogin(t, a, "alice", "alice-secret")
	// Guessing at a password locks it for a while, and cuts off nobody.
	s.Set(slapd.Person("alice"), "pwdAccountLockedTime", time.Now().UTC().Format("20060102150405Z"))
	if now := renew(t, a, "alice"); now != "alice+traders" {
		t.Errorf("got %q", now)
	}
	s.Set(slapd.Person("alice"), "pwdAccountLockedTime", "000001010000Z")
	if now := renew(t, a, "alice"); now != "" {
		t.Errorf("got %q", now)
	}
	_, err := a.Refresh(t.Context(), "alice")
	wantNo(t, err, auth.ErrDenied)
	_, err = login(t, a, "alice", "alice-secret")
	wantNo(t, err, auth.ErrDenied)
}

// Many users go in batches, each with what is its own.
func TestRenewMany(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	const people = 120
	var users []string
	for i := range people {
		uid := fmt.Sprintf("user%03d", i)
		users = append(users, uid)
		s.Add(slapd.Person(uid), "objectClass: inetOrgPerson", "uid: "+uid, "cn: "+uid, "sn: "+uid)
		if i%2 == 0 {
			s.Join(slapd.Group("traders"), slapd.Person(uid))
		}
	}
	a := open(t, options(s))
	now, err := a.Renew(t.Context(), append(users, "nobody"))
	if err != nil || len(now) != people {
		t.Fatalf("%d are there, %v", len(now), err)
	}
	for i, u := range users {
		if in := has(now[u], "traders"); in != (i%2 == 0) || now[u] != refresh(t, a, u) {
			t.Errorf("%s in traders: %t", u, in)
		}
	}
}

// What was found before a round began does not count in it.
func TestRefreshIsNotOlderThanTheRound(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	a := open(t, options(s), func(o *ldapauth.Options) { o.Refresh = time.Hour })
	mustLogin(t, a, "bob", "bob-secret")
	s.Leave(slapd.Group("traders"), slapd.Person("bob"))
	if !has(refresh(t, a, "bob"), "traders") {
		t.Error("the directory was asked again at once")
	}
	renew(t, a, "alice") // a round in which bob is not connected
	if has(refresh(t, a, "bob"), "traders") {
		t.Error("what was found before the round counts")
	}
}

// A login that was under way when the directory was asked again brings nothing back that
// was gone by then.
func TestRenewDuringALogin(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p := newProxy(t, strings.TrimPrefix(s.Plain, "ldap://"), func(c net.Conn, b []byte) {
		if strings.Contains(string(b), slapd.Group("traders")) {
			once.Do(func() { close(held); <-release })
		}
		pass(c, b)
	})
	a := open(t, options(s), func(o *ldapauth.Options) { o.URLs = []string{p.url} })
	in := make(chan *auth.Identity)
	go func() {
		id, err := login(t, a, "bob", "bob-secret")
		if err != nil {
			t.Error(err)
		}
		in <- id
	}()
	<-held
	s.Leave(slapd.Group("traders"), slapd.Person("bob"))
	if got := renew(t, a, "bob"); got != "bob" {
		t.Errorf("the round has found %s", got)
	}
	close(release)
	if has(<-in, "traders") {
		t.Error("the login has brought back a group that bob has left")
	}
}

// L7: while the directory is down, what was known holds for the grace, new logins
// could not be found out, and then nobody can be.
func TestGrace(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	c := newClock()
	a := open(t, options(s), func(o *ldapauth.Options) { o.Now, o.Grace = c.Now, 15*time.Minute })
	mustLogin(t, a, "alice", "alice-secret")
	s.Stop()
	c.advance(10 * time.Minute)
	now, err := a.Renew(t.Context(), []string{"alice", "bob"})
	if wantUnknown(t, err); told(now) != "alice+traders" { // of bob nothing was known
		t.Errorf("got %q", told(now))
	}
	if !has(refresh(t, a, "alice"), "traders") {
		t.Error("alice has lost what she had")
	}
	for _, user := range []string{"alice", "bob", "nobody"} {
		_, err := login(t, a, user, user+"-secret")
		wantUnknown(t, err)
	}
	_, err = a.Refresh(t.Context(), "bob")
	wantUnknown(t, err)
	c.advance(5 * time.Minute)
	now, err = a.Renew(t.Context(), []string{"alice"})
	if wantUnknown(t, err); told(now) != "" {
		t.Errorf("got %q", told(now))
	}
	_, err = a.Refresh(t.Context(), "alice")
	wantUnknown(t, err)
	s.Restart()
	c.advance(time.Minute)
	if now := renew(t, a, "alice"); now != "alice+traders" {
		t.Errorf("got %q", now)
	}
}

// A password that was right is right for a while without a bind, with the groups
// of now; another one is not, and when it is changed the old one ends with the
// next round.
func TestRememberedPassword(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	c := newClock()
	a := open(t, options(s), func(o *ldapauth.Options) { o.Now = c.Now })
	for range 10 {
		mustLogin(t, a, "alice", "alice-secret")
	}
	binds := func(want int) {
		t.Helper()
		if n := s.Binds(slapd.Person("alice")); n != want {
			t.Errorf("%d binds, want %d", n, want)
		}
	}
	binds(1)
	_, err := login(t, a, "alice", "alice-secret ")
	wantNo(t, err, auth.ErrDenied)
	binds(2)
	s.Leave(slapd.Group("traders"), slapd.Person("alice"))
	c.advance(59 * time.Second)
	renew(t, a, "alice")
	if has(mustLogin(t, a, "alice", "alice-secret"), "traders") {
		t.Error("the groups are those of the bind")
	}
	binds(2)
	c.advance(time.Second)
	mustLogin(t, a, "alice", "alice-secret")
	binds(3)
	// The server's clock has seconds.
	s.Set(slapd.Person("alice"), "pwdChangedTime", "20300101000000Z")
	renew(t, a, "alice")
	mustLogin(t, a, "alice", "alice-secret")
	binds(4)
	setPassword(t, s, "alice", "alice-secret", "new-secret")
	mustLogin(t, a, "alice", "new-secret") // at once
	_, err = login(t, a, "alice", "alice-secret")
	wantNo(t, err, auth.ErrDenied)
}

// A password that was wrong is tried again when another was set.
func TestWrongPasswordBecomesRight(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	s.Set(slapd.Person("alice"), "pwdChangedTime", "20200101000000Z")
	a := open(t, options(s))
	_, err := login(t, a, "alice", "new-secret")
	wantNo(t, err, auth.ErrDenied)
	setPassword(t, s, "alice", "alice-secret", "new-secret")
	mustLogin(t, a, "alice", "new-secret")
}

func setPassword(t *testing.T, s *slapd.Server, uid, from, to string) {
	t.Helper()
	c, err := ldap.DialURL(s.Socket)
	if err == nil {
		defer func() { _ = c.Close() }()
		err = c.Bind(slapd.Person(uid), from)
	}
	if err == nil {
		_, err = c.PasswordModify(ldap.NewPasswordModifyRequest("", from, to))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Two servers: when one is stopped or says nothing more, the other serves, and
// the first one again when it works again.
func TestFailover(t *testing.T) {
	first, second := slapd.Start(t, slapd.Options{}), slapd.Start(t, slapd.Options{})
	c := newClock()
	o := options(first)
	o.URLs, o.Now, o.Remember = []string{first.Plain, second.Plain}, c.Now, -1
	o.OperationTimeout = 4 * time.Second // a busy machine is no dead server
	a := open(t, o)
	served := func(by *slapd.Server, what string) {
		t.Helper()
		before := by.Binds(slapd.Person("alice"))
		mustLogin(t, a, "alice", "alice-secret")
		if by.Binds(slapd.Person("alice")) == before {
			t.Errorf("%s: another has served", what)
		}
	}
	served(first, "both work")
	first.Stop()
	served(second, "the first is stopped")
	first.Restart()
	served(second, "the first is left alone for a while")
	c.advance(11 * time.Minute) // also the connections to the second have their time
	served(first, "the first works again")
	first.Freeze()
	defer first.Thaw()
	served(second, "the first says nothing more")
}

// A storm of logins with one password is one bind after the first, and one with
// many users is as many as there are, on no more connections than there may be.
func TestStorm(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	p := newProxy(t, strings.TrimPrefix(s.Plain, "ldap://"), pass)
	a := open(t, options(s), func(o *ldapauth.Options) { o.URLs, o.Connections = []string{p.url}, 4 })
	mustLogin(t, a, "alice", "alice-secret")
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			user := []string{"alice", "bob", "carol", "dave"}[i%4]
			if _, err := a.Authenticate(context.Background(), auth.Credentials{User: user, Password: user + "-secret"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.Binds(slapd.Person("alice")); n != 1 {
		t.Errorf("alice has bound %d times", n)
	}
	if n := p.conns.Load(); n > 8 {
		t.Errorf("%d connections", n)
	}
}

// An account that searches whose password is wrong is a failure, not a verdict,
// and is not tried again and again.
func TestServicePasswordWrong(t *testing.T) {
	s := slapd.Start(t, slapd.Options{})
	c := newClock()
	a := open(t, options(s), func(o *ldapauth.Options) { o.BindPassword, o.Now = "old-secret", c.Now })
	for range 5 {
		_, err := login(t, a, "alice", "alice-secret")
		wantUnknown(t, err)
	}
	if n := s.Binds(slapd.Service); n != 1 {
		t.Errorf("%d binds", n)
	}
}

// One user of whom nothing can be found out, or who has any number of entries, keeps
// nobody else from losing what they have lost.
func TestRenewBesideTrouble(t *testing.T) {
	s := slapd.Start(t, slapd.Options{Config: []string{"limits * size=unlimited"}})
	a := open(t, options(s), func(o *ldapauth.Options) { o.Refresh = time.Hour })
	users := []string{"alice", "bob"}
	for i := range 120 {
		uid := fmt.Sprintf("user%03d", i)
		users = append(users, uid)
		s.Add(slapd.Person(uid), "objectClass: inetOrgPerson", "uid: "+uid, "cn: "+uid, "sn: "+uid, "userPassword: x-secret")
	}
	s.Join(slapd.Group("traders"), slapd.Person("user119"))
	if now, err := a.Renew(t.Context(), users); err != nil || len(now) != len(users) || !has(now["user119"], "traders") {
		t.Fatalf("%d are there, %v", len(now), err)
	}
	for i := range 150 { // of alice's name
		s.Add(fmt.Sprintf("cn=twin%d,%s", i, slapd.People), "objectClass: inetOrgPerson", "uid: alice", fmt.Sprintf("cn: twin%d", i), "sn: x")
	}
	s.Leave(slapd.Group("traders"), slapd.Person("bob"))
	s.Leave(slapd.Group("traders"), slapd.Person("user119"))
	now, err := a.Renew(t.Context(), users)
	if err != nil || len(now) != len(users)-1 || now["alice"] != nil || has(now["bob"], "traders") || has(now["user119"], "traders") {
		t.Errorf("beside somebody with many entries: %d are there, %v", len(now), err)
	}
}

package ldapauth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jimlambrt/gldap"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
)

// The fake is itself no fault.
func TestFake(t *testing.T) {
	f := newFake(t)
	a := open(t, f.options())
	if id := mustLogin(t, a, "alice", "alice-secret"); !has(id, "traders") {
		t.Errorf("got %+v", id)
	}
	_, err := login(t, a, "alice", "wrong-secret")
	wantNo(t, err, auth.ErrDenied)
	_, err = login(t, a, "bob", "alice-secret")
	wantNo(t, err, auth.ErrPass)
}

// clocked are options with a clock that is moved by hand.
func clocked(o ldapauth.Options) (ldapauth.Options, *clock) {
	c := newClock()
	o.Now = c.Now
	return o, c
}

// wantRecovery: err says that it could not be found out, and why; when nothing is
// wrong any more, alice logs in, and by no other password.
func wantRecovery(t *testing.T, a *ldapauth.Authenticator, c *clock, err error, why string, heal func()) {
	t.Helper()
	if wantUnknown(t, err); !strings.Contains(fmt.Sprint(err), why) {
		t.Errorf("it does not say %q: %v", why, err)
	}
	heal()
	c.advance(time.Minute) // a server that has failed is left alone for a while
	_, err = login(t, a, "alice", "wrong-secret")
	wantNo(t, err, auth.ErrDenied)
	if id := mustLogin(t, a, "alice", "alice-secret"); !has(id, "traders") {
		t.Errorf("after it: %+v", id)
	}
}

// L6, L7: whatever a server does wrong, at whatever point, a login could not be
// found out, the log is told why, and the next one with a server that works is right.
func TestFaults(t *testing.T) {
	hang := func(w *gldap.ResponseWriter, r *gldap.Request) {}
	code := func(code int) gldap.HandlerFunc {
		return func(w *gldap.ResponseWriter, r *gldap.Request) { done(w, r, code) }
	}
	bindCode := func(code int) gldap.HandlerFunc {
		return func(w *gldap.ResponseWriter, r *gldap.Request) { answerBind(w, r, code) }
	}
	groupsBut := func(h gldap.HandlerFunc) func(*fake) {
		return func(f *fake) {
			f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
				if m, _ := r.GetSearchMessage(); strings.Contains(m.Filter, "member") {
					h(w, r)
					return
				}
				f.searchAlice(w, r)
			}
		}
	}
	const slow = "no answer: it took longer than 200ms (operation_timeout)"
	for name, tc := range map[string]struct {
		spoil func(*fake)
		why   string
	}{
		"no answer to a bind":              {func(f *fake) { f.bind = hang }, slow},
		"no answer to the service's bind":  {func(f *fake) { f.account = hang }, slow},
		"no answer to a search":            {func(f *fake) { f.search = hang }, slow},
		"no answer to a search for groups": {groupsBut(hang), slow},
		"half an answer": {func(f *fake) {
			f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
				_ = w.Write(r.NewSearchResponseEntry(aliceDN, gldap.WithAttributes(map[string][]string{"uid": {"alice"}})))
			}
		}, slow},
		"busy":                          {func(f *fake) { f.search = code(gldap.ResultBusy) }, "Busy"},
		"busy with binds":               {func(f *fake) { f.bind = bindCode(gldap.ResultBusy) }, "Busy"},
		"unwilling":                     {func(f *fake) { f.bind = bindCode(gldap.ResultUnwillingToPerform) }, "Unwilling"},
		"it refers a bind elsewhere":    {func(f *fake) { f.bind = bindCode(gldap.ResultReferral) }, "refers to another server, which is not followed (referrals)"},
		"it refers a search elsewhere":  {func(f *fake) { f.search = code(gldap.ResultReferral) }, "refers to another server, which is not followed (referrals)"},
		"no such base":                  {func(f *fake) { f.search = code(gldap.ResultNoSuchObject) }, `search "` + peopleDN + `" for (uid=alice): LDAP Result Code 32 "No Such Object"`},
		"no such base for groups":       {groupsBut(code(gldap.ResultNoSuchObject)), `groups of "alice": search "` + groupsDN + `"`},
		"not all groups":                {groupsBut(code(gldap.ResultSizeLimitExceeded)), "gives no more entries to this account"},
		"too late for groups":           {groupsBut(code(gldap.ResultTimeLimitExceeded)), "Time Limit"},
		"groups are not for us":         {groupsBut(code(gldap.ResultInsufficientAccessRights)), "Insufficient Access Rights"},
		"an operations error":           {func(f *fake) { f.bind = bindCode(gldap.ResultOperationsError) }, "Operations Error"},
		"the service is not known":      {func(f *fake) { f.account = bindCode(gldap.ResultNoSuchObject) }, "bind as " + service},
		"the service has no password":   {func(f *fake) { f.account = bindCode(gldap.ResultInvalidCredentials) }, "bind as " + service},
		"the server wants to have TLS":  {func(f *fake) { f.account = bindCode(gldap.ResultConfidentialityRequired) }, "wants TLS (write ldaps://, or start_tls = true)"},
		"there is one entry without id": {func(f *fake) { f.search = entries(map[string][]string{}) }, `has 0 values of uid`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tc.spoil)
			o, c := clocked(f.options())
			a := open(t, o)
			_, err := login(t, a, "alice", "alice-secret")
			if strings.Contains(name, "without id") { // that is known
				wantNo(t, err, auth.ErrDenied)
				err = fmt.Errorf("%v", err)
			}
			wantRecovery(t, a, c, err, tc.why, func() { f.healed.Store(true) })
		})
	}
}

// L4, L6: an answer that comes too late is not taken for that to the next bind.
func TestLateAnswer(t *testing.T) {
	release := make(chan struct{})
	var late atomic.Bool
	late.Store(true)
	f := newFake(t, func(f *fake) {
		f.bind = func(w *gldap.ResponseWriter, r *gldap.Request) {
			if late.Swap(false) {
				<-release // and then says yes to whom nobody asks for any more
				answerBind(w, r, gldap.ResultSuccess)
				return
			}
			f.bindAlice(w, r)
		}
	})
	o := f.options()
	o.Connections = 1
	a := open(t, o)
	_, err := login(t, a, "alice", "alice-secret")
	wantUnknown(t, err)
	close(release)
	o.RememberWrong = -1
	a2 := open(t, o)
	for range 20 {
		_, err := login(t, a2, "alice", "wrong-secret")
		wantNo(t, err, auth.ErrDenied)
	}
}

// 10,000 groups are many and all are read; one more is too many to be sure of.
func TestManyGroups(t *testing.T) {
	for _, n := range []int{10_000, 10_001} {
		f := newFake(t, func(f *fake) {
			f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
				m, _ := r.GetSearchMessage()
				if !strings.Contains(m.Filter, "member") {
					f.searchAlice(w, r)
					return
				}
				for i := range n {
					cn := fmt.Sprintf("group-%d", i)
					_ = w.Write(r.NewSearchResponseEntry("cn="+cn+","+groupsDN, gldap.WithAttributes(map[string][]string{"cn": {cn}})))
				}
				done(w, r, gldap.ResultSuccess)
			}
		})
		o := f.options()
		o.OperationTimeout, o.LoginTimeout = time.Minute, time.Minute
		id, err := login(t, open(t, o), "alice", "alice-secret")
		if n > 10_000 {
			wantUnknown(t, err)
		} else if err != nil || !has(id, "group-0", "group-9999", "cn=group-9999,"+groupsDN) {
			t.Errorf("%d groups: %v", n, err)
		}
	}
}

// A part of somebody's groups is not all of them: nobody can tell which are missing.
// It keeps none of the others from being looked up.
func TestPartOfTheGroups(t *testing.T) {
	f := newFake(t, func(f *fake) {
		f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
			m, _ := r.GetSearchMessage()
			for _, uid := range []string{"alice", "bob"} {
				name := map[string]string{"alice": "memberof;Range=0-1499", "bob": "memberof"}[uid]
				if strings.Contains(m.Filter, uid) {
					_ = w.Write(r.NewSearchResponseEntry("uid="+uid+","+peopleDN, gldap.WithAttributes(map[string][]string{"uid": {uid}, name: {traders}})))
				}
			}
			done(w, r, gldap.ResultSuccess)
		}
	})
	o := f.options()
	o.MemberOf = "memberOf"
	a := open(t, o)
	_, err := login(t, a, "alice", "alice-secret")
	if wantUnknown(t, err); !strings.Contains(fmt.Sprint(err), "Range=0-1499") {
		t.Error(err)
	}
	users := []string{"alice"}
	for i := range 60 { // who are not there, so that bob is in another batch
		users = append(users, fmt.Sprint("user", i))
	}
	now, err := a.Renew(t.Context(), append(users, "bob"))
	if wantUnknown(t, err); told(now) != "bob+traders" {
		t.Errorf("looked up again: %q", told(now))
	}
}

// Groups in groups without an end: each is in one that is new.
func TestEndlessNesting(t *testing.T) {
	var depth atomic.Int32
	f := newFake(t, func(f *fake) {
		f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
			m, _ := r.GetSearchMessage()
			if !strings.Contains(m.Filter, "member") {
				f.searchAlice(w, r)
				return
			}
			cn := fmt.Sprintf("level-%d", depth.Add(1))
			_ = w.Write(r.NewSearchResponseEntry("cn="+cn+","+groupsDN, gldap.WithAttributes(map[string][]string{"cn": {cn}})))
			done(w, r, gldap.ResultSuccess)
		}
	})
	o := f.options()
	o.Nested = ldapauth.Recursive
	if id := mustLogin(t, open(t, o), "alice", "alice-secret"); !has(id, "level-1", "level-11") || has(id, "level-12") {
		t.Errorf("groups %q", id.Groups)
	}
}

// So many logins at a time, and no more: the next one waits, and asks nothing.
func TestLoginsInFlight(t *testing.T) {
	asked, release := make(chan struct{}, 2*ldapauth.MaxLogins), make(chan struct{})
	f := newFake(t, func(f *fake) {
		f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
			asked <- struct{}{}
			<-release
			f.searchAlice(w, r)
		}
	})
	o := f.options()
	o.Connections, o.GroupBase, o.Remember = 2*ldapauth.MaxLogins, "", -1
	o.OperationTimeout, o.LoginTimeout = time.Minute, time.Minute
	a := open(t, o)
	var all sync.WaitGroup
	for range ldapauth.MaxLogins {
		all.Go(func() {
			if _, err := a.Authenticate(context.Background(), auth.Credentials{User: "alice", Password: "alice-secret"}); err != nil {
				t.Error(err)
			}
		})
	}
	for range ldapauth.MaxLogins {
		<-asked
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := a.Authenticate(short, auth.Credentials{User: "alice", Password: "alice-secret"})
	if wantUnknown(t, err); len(asked) != 0 {
		t.Errorf("%d logins at a time", ldapauth.MaxLogins+len(asked))
	}
	close(release)
	all.Wait()
}

// Close ends what waits for a server that does not answer.
func TestClose(t *testing.T) {
	asked := make(chan struct{}, 1)
	f := newFake(t, func(f *fake) {
		f.search = func(*gldap.ResponseWriter, *gldap.Request) { asked <- struct{}{} }
	})
	o := f.options()
	o.OperationTimeout, o.LoginTimeout = time.Hour, time.Hour
	a := open(t, o)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		_, err := a.Authenticate(context.Background(), auth.Credentials{User: "alice", Password: "alice-secret"})
		wantUnknown(t, err)
	})
	<-asked
	a.Close()
	waiting.Wait()
	a.Close()
	_, err := login(t, a, "alice", "alice-secret")
	wantUnknown(t, err)
}

// entries answers a search for users with alice's entry, once for each.
func entries(each ...map[string][]string) gldap.HandlerFunc {
	return func(w *gldap.ResponseWriter, r *gldap.Request) {
		for _, attributes := range each {
			_ = w.Write(r.NewSearchResponseEntry(aliceDN, gldap.WithAttributes(attributes)))
		}
		done(w, r, gldap.ResultSuccess)
	}
}

// Two entries of one name are no user, whatever the second one says, and a group
// that is told twice is one.
func TestTwice(t *testing.T) {
	alice := map[string][]string{"uid": {"alice"}}
	f := newFake(t, func(f *fake) { f.search = entries(alice, alice) })
	a := open(t, f.options())
	_, err := login(t, a, "alice", "alice-secret")
	wantNo(t, err, auth.ErrDenied)
	if now, err := a.Renew(t.Context(), []string{"alice"}); err != nil || len(now) > 0 {
		t.Errorf("looked up again: %v, %v", now, err)
	}
	f.healed.Store(true)
	mustLogin(t, a, "alice", "alice-secret")

	f = newFake(t, func(f *fake) {
		f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
			if m, _ := r.GetSearchMessage(); strings.Contains(m.Filter, "member") {
				for _, dn := range []string{traders, strings.ToUpper(traders), traders} {
					_ = w.Write(r.NewSearchResponseEntry(dn, gldap.WithAttributes(map[string][]string{"cn": {"traders"}})))
				}
			}
			f.searchAlice(w, r)
		}
	})
	if id := mustLogin(t, open(t, f.options()), "alice", "alice-secret"); len(id.Groups) != 2 {
		t.Errorf("groups %q", id.Groups)
	}
}

// Connections that end while nobody uses them, or while a question is on its way,
// cost nobody a login: another one is made, and the question is asked again.
func TestConnectionsThatEnd(t *testing.T) {
	var searches, cutAt atomic.Int32
	var p *proxy
	f := newFake(t, func(f *fake) {
		f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
			if searches.Add(1) == cutAt.Load() {
				p.cut()
			}
			f.searchAlice(w, r)
		}
	})
	p = newProxy(t, strings.TrimPrefix(f.url, "ldap://"), pass)
	o := f.options()
	o.URLs, o.Remember, o.Refresh = []string{p.url}, -1, time.Nanosecond
	a := open(t, o)
	for range 5 {
		mustLogin(t, a, "alice", "alice-secret")
		p.cut()
	}
	for i := range int32(4) { // the search for the user, that for the groups
		mustLogin(t, a, "alice", "alice-secret")
		cutAt.Store(searches.Load() + 1 + i%2)
		mustLogin(t, a, "alice", "alice-secret")
	}
	if n := f.binds.Load(); n != 13 {
		t.Errorf("the password was sent %d times in 13 logins", n)
	}
}

// When many clients of one user come back at once the directory is asked once, also if
// whoever asks leaves meanwhile.
func TestOneAsks(t *testing.T) {
	asked, release := make(chan struct{}, 10), make(chan struct{})
	f := newFake(t, func(f *fake) {
		f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
			asked <- struct{}{}
			<-release
			f.searchAlice(w, r)
		}
	})
	o := f.options()
	o.OperationTimeout = time.Minute
	a := open(t, o)
	impatient, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		_, err := a.Refresh(impatient, "alice")
		wantUnknown(t, err)
	})
	<-asked
	for range 500 {
		all.Go(func() {
			if id, err := a.Refresh(t.Context(), "alice"); err != nil || !has(id, "traders") {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
	leave()
	<-asked // by another
	close(release)
	all.Wait()
	if n := f.searches.Load(); n != 3 { // of the impatient, the user, the groups
		t.Errorf("%d searches", n)
	}
}

package ldapauth_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
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

// L6, L7: whatever a server does wrong, at whatever point, a login could not be
// found out, and the next one with a server that works is right.
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
	for name, spoil := range map[string]func(*fake){
		"no answer to a bind":              func(f *fake) { f.bind = hang },
		"no answer to a search":            func(f *fake) { f.search = hang },
		"no answer to a search for groups": groupsBut(hang),
		"half an answer": func(f *fake) {
			f.search = func(w *gldap.ResponseWriter, r *gldap.Request) {
				_ = w.Write(r.NewSearchResponseEntry(aliceDN, gldap.WithAttributes(map[string][]string{"uid": {"alice"}})))
			}
		},
		"busy":                         func(f *fake) { f.search = code(gldap.ResultBusy) },
		"busy with binds":              func(f *fake) { f.bind = bindCode(gldap.ResultBusy) },
		"unwilling":                    func(f *fake) { f.bind = bindCode(gldap.ResultUnwillingToPerform) },
		"it refers a bind elsewhere":   func(f *fake) { f.bind = bindCode(gldap.ResultReferral) },
		"it refers a search elsewhere": func(f *fake) { f.search = code(gldap.ResultReferral) },
		"no such base":                 func(f *fake) { f.search = code(gldap.ResultNoSuchObject) },
		"no such base for groups":      groupsBut(code(gldap.ResultNoSuchObject)),
		"not all groups":               groupsBut(code(gldap.ResultSizeLimitExceeded)),
		"too late for groups":          groupsBut(code(gldap.ResultTimeLimitExceeded)),
		"groups are not for us":        groupsBut(code(gldap.ResultInsufficientAccessRights)),
		"an operations error":          func(f *fake) { f.bind = bindCode(gldap.ResultOperationsError) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := login(t, open(t, newFake(t, spoil).options()), "alice", "alice-secret")
			wantUnknown(t, err)
		})
	}
}

// L6: what comes over the wire may be anything.
func TestBrokenWire(t *testing.T) {
	f := newFake(t)
	to := strings.TrimPrefix(f.url, "ldap://")
	huge := []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x01}
	for name, harm := range map[string]func(net.Conn, []byte){
		"closed at once":        func(c net.Conn, _ []byte) { _ = c.Close() },
		"closed mid-answer":     func(c net.Conn, b []byte) { pass(c, b[:len(b)/2]); _ = c.Close() },
		"stopped mid-answer":    func(c net.Conn, b []byte) { pass(c, b[:len(b)-1]) },
		"nothing":               func(net.Conn, []byte) {},
		"zeros":                 func(c net.Conn, b []byte) { pass(c, make([]byte, len(b))) },
		"a web server":          func(c net.Conn, _ []byte) { pass(c, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"the answer, reversed":  func(c net.Conn, b []byte) { pass(c, reversed(b)) },
		"a length of 2 GiB":     func(c net.Conn, _ []byte) { pass(c, huge) },
		"nested without an end": func(c net.Conn, _ []byte) { pass(c, []byte(strings.Repeat("\x30\x80", 1<<15))) },
		"somebody else's":       func(c net.Conn, b []byte) { pass(c, withID(b, 4711)) },
		"without an end": func(c net.Conn, b []byte) {
			for _, err := c.Write(huge); err == nil; {
				_, err = c.Write(make([]byte, 1<<20))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, to, harm)
			o := f.options()
			o.URLs = []string{p.url}
			_, err := login(t, open(t, o), "alice", "alice-secret")
			wantUnknown(t, err)
		})
	}
}

// L6: an answer that goes on and on is not read to its end, however fast it comes.
func TestEndlessAnswer(t *testing.T) {
	f := newFake(t)
	const length = 128 << 20
	var taken atomic.Int64
	p := newProxy(t, strings.TrimPrefix(f.url, "ldap://"), func(c net.Conn, _ []byte) {
		_, err := c.Write([]byte{0x30, 0x84, 0x08, 0x00, 0x00, 0x00, 0x04, 0x84, 0x07, 0xff, 0xff, 0xfa})
		for err == nil && taken.Load() < length {
			var n int
			n, err = c.Write(make([]byte, 1<<20))
			taken.Add(int64(n))
		}
	})
	o := f.options()
	o.URLs, o.OperationTimeout, o.LoginTimeout = []string{p.url}, time.Minute, time.Minute
	_, err := login(t, open(t, o), "alice", "alice-secret")
	if wantUnknown(t, err); taken.Load() > length/2 {
		t.Errorf("%d bytes of an answer were taken", taken.Load())
	}
}

// L6: one byte now and then is an answer that takes too long, not one that goes on.
func TestSlowWire(t *testing.T) {
	f := newFake(t)
	p := newProxy(t, strings.TrimPrefix(f.url, "ldap://"), func(c net.Conn, b []byte) {
		for _, x := range b {
			if _, err := c.Write([]byte{x}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	o := f.options()
	o.URLs = []string{p.url}
	_, err := login(t, open(t, o), "alice", "alice-secret")
	wantUnknown(t, err)
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i, x := range b {
		r[len(b)-1-i] = x
	}
	return r
}

// withID returns an answer as if to another question.
func withID(b []byte, id int64) []byte {
	packet, err := ber.DecodePacketErr(b)
	if err != nil {
		return b
	}
	changed := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	changed.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	for _, c := range packet.Children[1:] {
		changed.AppendChild(c)
	}
	return changed.Bytes()
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

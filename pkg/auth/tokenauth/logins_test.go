package tokenauth_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A desk is a server's own tokens, at a time that the test moves.
type desk struct {
	*tokenauth.Authenticator
	t      *testing.T
	now    time.Time
	wrong  time.Duration // by which the wall clock is off
	folder string
	key    tokenauth.Key
	logins *tokenauth.Logins
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: now, folder: t.TempDir(), key: ownKey(t)}
	d.open()
	return d
}

// open is what a start does.
func (d *desk) open() {
	d.t.Helper()
	dir, err := vfs.OpenDir(d.folder)
	if err != nil {
		d.t.Fatal(err)
	}
	passed := func() time.Time { return d.now }
	if d.logins, err = tokenauth.OpenLoginsBy(dir, passed, func() time.Duration { return d.wrong }); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.logins.Close)
	if d.Authenticator, err = tokenauth.New(tokenauth.Options{Key: d.key, Clock: func() time.Time { return d.now.Add(d.wrong) }, Logins: d.logins}); err != nil {
		d.t.Fatal(err)
	}
}

func openLogins(folder string, clock func() time.Time) (*tokenauth.Logins, error) {
	dir, err := vfs.OpenDir(folder)
	if err != nil {
		return nil, err
	}
	return tokenauth.OpenLogins(dir, clock)
}

func (d *desk) file() string { return filepath.Join(d.folder, "logins") }

func (d *desk) login() tokenauth.Tokens {
	d.t.Helper()
	tokens, err := d.Login(&auth.Identity{User: "alice", Realm: "file", Groups: []string{"editors"}})
	if err != nil {
		d.t.Fatal(err)
	}
	return tokens
}

func (d *desk) renew(token string) (tokenauth.Tokens, error) {
	id, err := d.Authenticate(d.t.Context(), auth.Credentials{Token: token, Renewing: true})
	if err != nil {
		return tokenauth.Tokens{}, err
	}
	return d.Renew(d.t.Context(), id, token)
}

func (d *desk) good(tokens tokenauth.Tokens) bool {
	_, err := d.Authenticate(d.t.Context(), auth.Credentials{Token: tokens.Token})
	return err == nil
}

func TestRenewals(t *testing.T) {
	d := newDesk(t)
	first := d.login()
	if !first.Expires.Equal(now.Add(tokenauth.DefaultTTL)) || !first.Ends.Equal(now.Add(tokenauth.DefaultLoginTTL)) {
		t.Errorf("good until %v and %v", first.Expires, first.Ends)
	}
	if _, err := d.renew(first.Token); err == nil {
		t.Error("a token of the other kind renews")
	}
	if d.good(tokenauth.Tokens{Token: first.Renewal}) {
		t.Error("what renews is good as a token")
	}
	last := first
	for range 5 {
		d.now = d.now.Add(50 * time.Minute)
		d.open()
		next, err := d.renew(last.Renewal)
		if err != nil || !d.good(next) || !next.Ends.Equal(first.Ends) || !next.Expires.Equal(d.now.Add(tokenauth.DefaultTTL)) {
			t.Fatalf("%+v, %v", next, err)
		}
		last = next
	}
	if d.good(first) {
		t.Error("the first token is still good")
	}
	d.now = first.Ends.Add(-time.Minute)
	next, err := d.renew(last.Renewal)
	if err != nil || !next.Expires.Equal(first.Ends) || next.Renewal != "" {
		t.Errorf("near the end of the login: %+v, %v", next, err)
	}
	d.now = first.Ends.Add(2 * tokenauth.Skew)
	if _, err := d.renew(last.Renewal); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("after the end of the login: %v", err)
	}
}

// TestReuse: one that comes a second time within the minute did not get the answer;
// later, somebody else has got it.
func TestReuse(t *testing.T) {
	d := newDesk(t)
	first, other := d.login(), d.login()
	second, err := d.renew(first.Renewal)
	if err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(time.Minute - time.Second)
	again, err := d.renew(first.Renewal)
	if err != nil || !d.good(again) {
		t.Fatalf("without the answer: %v", err)
	}
	third, err := d.renew(again.Renewal)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.renew(second.Renewal); err != nil {
		t.Errorf("two at the same time: %v", err)
	}
	d.now = d.now.Add(time.Minute)
	if _, err := d.renew(second.Renewal); !errors.Is(err, tokenauth.ErrReused) || !errors.Is(err, auth.ErrDenied) {
		t.Errorf("a stolen one: %v", err)
	}
	for range 2 {
		if _, err := d.renew(third.Renewal); err == nil || d.good(third) || d.good(first) {
			t.Error("the login goes on")
		}
		if !d.good(other) {
			t.Error("another login has ended")
		}
		d.open()
	}
}

func TestEnd(t *testing.T) {
	d := newDesk(t)
	tokens, other := d.login(), d.login()
	id, err := d.Authenticate(t.Context(), auth.Credentials{Token: tokens.Token})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.End(*id.Login); err != nil {
			t.Fatal(err)
		}
		if _, err := d.renew(tokens.Renewal); err == nil || d.good(tokens) || !d.Ended(id.Login.ID) {
			t.Error("it goes on")
		}
		if !d.good(other) {
			t.Error("another has ended")
		}
		d.open()
	}
	kept := id.Login.Ends.Add(tokenauth.MaxLeeway + tokenauth.ForgetMargin)
	for _, at := range []struct {
		time.Duration
		remembered bool
	}{{-time.Second, true}, {2 * time.Hour, false}} {
		d.now = kept.Add(at.Duration)
		d.endAnother()
		if d.Ended(id.Login.ID) != at.remembered {
			t.Errorf("at %v: remembered: %v", at.Duration, !at.remembered)
		}
	}
}

// endAnother has a line written, and forgotten what is over.
func (d *desk) endAnother() {
	d.t.Helper()
	l, _ := d.as("bob")
	if err := d.End(l); err != nil {
		d.t.Fatal(err)
	}
}

// A clock that is ahead for a while has nobody forgotten who was logged out: set right, their
// tokens would be good again. Nor has one that starts with such a clock, again and again.
func TestLoginsAndAClockThatIsAhead(t *testing.T) {
	for _, starts := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(starts, " starts"), func(t *testing.T) {
			d := newDesk(t)
			first, _ := d.as("alice")
			if err := d.End(first); err != nil {
				t.Fatal(err)
			}
			d.wrong = 365 * 24 * time.Hour
			for i := range starts + 3 {
				if i < starts {
					d.open()
				}
				d.now = d.now.Add(2 * time.Hour)
				d.endAnother()
			}
			d.wrong = 0
			if !d.Ended(first.ID) {
				t.Error("forgotten: the tokens are good again")
			}
			d.open()
			if !d.Ended(first.ID) {
				t.Error("forgotten by a start with the clock that is right")
			}
			// What the daemon was not there for is made up for.
			d.now = first.Ends.Add(tokenauth.MaxLeeway + tokenauth.ForgetMargin)
			d.open()
			d.now = d.now.Add(tokenauth.DefaultLoginTTL)
			if d.endAnother(); d.Ended(first.ID) {
				t.Error("kept for ever")
			}
		})
	}
}

// TestLoginsFile: what was answered is in the file, whatever the host does then.
func TestLoginsFile(t *testing.T) {
	d := newDesk(t)
	until := now.Add(time.Hour)
	for i := range 100 {
		if err := d.logins.End(auth.Login{ID: fmt.Sprint("login ", i%50), Ends: until}); err != nil {
			t.Fatal(err)
		}
	}
	for range 500 {
		d.now = d.now.Add(time.Second)
		if _, err := d.logins.Renew(auth.Login{ID: "renewed", Ends: until}, d.number()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(d.file())
	if err != nil || strings.Count(string(text), "\n") > 2*51+101 {
		t.Errorf("%d lines, %v", strings.Count(string(text), "\n"), err)
	}
	for name, tail := range map[string]string{"half a line": `{"login":"x","until":18`, "zeros": strings.Repeat("\x00", 4096), "two": "\x00\x00\n{"} {
		write(t, d.file(), string(text)+tail)
		if d.open(); !d.Ended("login 0") || !d.Ended("login 49") || d.Ended("x") {
			t.Errorf("%s: something is not remembered", name)
		}
	}
	for _, damage := range []string{"nonsense\n", "\n", `{"until":1}` + "\n"} {
		write(t, d.file(), damage+string(text))
		if _, err := openLogins(d.folder, time.Now); !errors.Is(err, tokenauth.ErrDamaged) || !strings.Contains(err.Error(), "line 1: ") {
			t.Errorf("%q: %v", damage, err)
		}
	}
}

func (d *desk) number() uint32 { return uint32(d.now.Sub(now)/time.Second) - 1 }

// TestLoginsDisk: what cannot be stored did not happen; later it can.
func TestLoginsDisk(t *testing.T) {
	d := newDesk(t)
	tokens := d.login()
	id, err := d.Authenticate(t.Context(), auth.Credentials{Token: tokens.Token})
	if err != nil {
		t.Fatal(err)
	}
	d.logins.Close()
	if err := d.End(*id.Login); err == nil || !d.good(tokens) {
		t.Errorf("after the end: %v", err)
	}
	d.open()
	if err := d.End(*id.Login); err != nil || d.good(tokens) {
		t.Errorf("%v", err)
	}
}

// TestScope: what a token says that it is for.
func TestScope(t *testing.T) {
	private, key := keyPair(t)
	a := server(t, key, now)
	look := func(claim any) (*auth.Identity, error) {
		token := signed(t, private, jwt.SigningMethodEdDSA, with(good(), "channels", claim))
		return a.Authenticate(t.Context(), auth.Credentials{Token: token})
	}
	id, err := look(map[string]any{"subscribe": []string{"/room/7", "/inbox/{user}"}})
	if err != nil || id.Scope == nil || len(id.Scope.Subscribe) != 2 || id.Scope.Publish != nil || id.Scope.Subscribe[0].String() != "/room/7" {
		t.Errorf("%+v, %v", id, err)
	}
	if id, err := look(map[string]any{}); err != nil || id.Scope == nil {
		t.Errorf("for nothing: %+v, %v", id, err)
	}
	for _, bad := range []any{
		"all", 7, []string{"/a"}, map[string]any{"subscribe": 7}, map[string]any{"subscribe": []any{7}}, map[string]any{"read": []string{"/a"}},
		map[string]any{"publish": []string{"a"}}, map[string]any{"publish": slices.Repeat([]string{"/a"}, 65)},
	} {
		if _, err := look(bad); !errors.Is(err, auth.ErrDenied) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestMake: a token that an operator hands out says what it is for, and can be ended.
func TestMake(t *testing.T) {
	d := newDesk(t)
	scope := &channel.Scope{}
	var err error
	if scope.Publish, err = tokenauth.Patterns([]string{"/news/**"}); err != nil {
		t.Fatal(err)
	}
	token, login, err := d.Make(&auth.Identity{User: "robot", Realm: "token", Scope: scope}, now.Add(90*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	id, err := d.Authenticate(t.Context(), auth.Credentials{Token: token})
	if err != nil || id.User != "robot" || *id.Login != login || !id.Expires.Equal(login.Ends.Add(tokenauth.Skew)) {
		t.Fatalf("%+v, %v", id, err)
	}
	s := acl.Subject{User: id.User, Scope: id.Scope}
	if !channel.Covers(s.Scope.Publish, "/news/today", "robot") || len(s.Scope.Subscribe) > 0 {
		t.Errorf("%+v", s.Scope)
	}
	if err := d.End(login); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(t.Context(), auth.Credentials{Token: token}); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("ended, and %v", err)
	}
}

// TestRotateKey: tokens of the key before are good until it is rotated again.
func TestRotateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	var tokens []string
	for range 3 {
		key, before, err := tokenauth.LoadOrCreateKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		a, err := tokenauth.New(tokenauth.Options{Key: key, Before: before, Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := issue(a, &auth.Identity{User: "alice", Realm: "file"})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
		for i, token := range tokens {
			_, err := a.Authenticate(t.Context(), auth.Credentials{Token: token})
			if good := err == nil; good != (i >= len(tokens)-2) {
				t.Errorf("token %d of %d: %v", i+1, len(tokens), err)
			}
		}
		if err := tokenauth.RotateKey(path); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	if err := tokenauth.RotateKey(path + ".other"); err == nil {
		t.Error("a key that is not there was rotated")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

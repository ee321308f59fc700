package tokenauth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
)

// as logs a user in, and returns the login and what renews it.
func (d *desk) as(user string) (auth.Login, func() error) {
	d.t.Helper()
	tokens, err := d.Login(&auth.Identity{User: user, Realm: "file"})
	if err != nil {
		d.t.Fatal(err)
	}
	l, err := d.LoginOf(d.t.Context(), tokens.Token)
	if err != nil {
		d.t.Fatal(err)
	}
	return *l, func() error { _, err := d.renew(tokens.Renewal); return err }
}

// Logins that are over are forgotten while others come, and not only by a start.
func TestLoginsAreForgotten(t *testing.T) {
	d := newDesk(t)
	const daily = 4
	for i := range 40 * daily {
		l, _ := d.as(fmt.Sprint("user ", i))
		if err := d.End(l); err != nil {
			t.Fatal(err)
		}
		d.now = d.now.Add(24 * time.Hour / daily)
	}
	if n := tokenauth.Remembered(d.logins); n > 31*daily+2 {
		t.Errorf("%d are remembered, and no login goes on for longer than 30 days", n)
	}
}

// Who logs in and out without end fills a share of their own: to end a login is never
// refused, all else of that user is until something is over; others go on, whatever is kept
// for the first. A start counts the same.
func TestShareOfAUser(t *testing.T) {
	d := newDesk(t)
	bound := func() { tokenauth.Bound(d.logins, 8, 4) }
	bound()
	type hoarded struct {
		login auth.Login
		renew func() error
	}
	var hoard []hoarded
	for range 20 {
		l, renew := d.as("mallory")
		hoard = append(hoard, hoarded{l, renew})
	}
	for i, h := range hoard[:18] {
		if err := d.End(h.login); err != nil || !d.Ended(h.login.ID) {
			t.Fatalf("the end of login %d: %v", i, err)
		}
	}
	for range 2 {
		if _, err := d.Login(&auth.Identity{User: "mallory", Realm: "file"}); !errors.Is(err, tokenauth.ErrTooMany) {
			t.Errorf("one more login: %v", err)
		}
		if err := hoard[19].renew(); !errors.Is(err, tokenauth.ErrTooMany) {
			t.Errorf("one more renewal: %v", err)
		}
		if _, err := d.Login(&auth.Identity{User: "mallory", Realm: "ldap"}); err != nil {
			t.Errorf("another user of that name: %v", err)
		}
		d.open()
		bound()
	}
	for i := range 4 {
		if _, renew := d.as(fmt.Sprint("user ", i)); renew() != nil {
			t.Errorf("user %d: %v", i, renew())
		}
	}
	late, renew := d.as("late")
	if err := renew(); err == nil || errors.Is(err, tokenauth.ErrTooMany) {
		t.Errorf("one more of all: %v", err)
	}
	d.now = late.Ends.Add(-time.Minute)
	if err := renew(); err == nil {
		t.Error("there is room before anything is over")
	}
	over := func() {
		d.now = d.now.Add(tokenauth.DefaultLoginTTL + tokenauth.MaxLeeway + tokenauth.ForgetMargin + time.Second)
	}
	over()
	for _, user := range []string{"late", "mallory"} {
		if _, renew := d.as(user); renew() != nil {
			t.Errorf("%s, once all is over: %v", user, renew())
		}
	}
	if n := tokenauth.Remembered(d.logins); n != 2 {
		t.Errorf("%d are remembered", n)
	}
	for range 3 {
		l, _ := d.as("mallory")
		if err := d.End(l); err != nil {
			t.Fatal(err)
		}
	}
	over()
	d.as("mallory") // as it is all over again
}

// A login counts once, however often it is renewed.
func TestRenewalsCountOnce(t *testing.T) {
	d := newDesk(t)
	tokenauth.Bound(d.logins, 8, 2)
	l, _ := d.as("alice")
	for n := range uint32(5) {
		if _, err := d.logins.Renew(l, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.End(l); err != nil {
		t.Fatal(err)
	}
	d.as("alice")
}

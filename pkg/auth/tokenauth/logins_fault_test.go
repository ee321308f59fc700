package tokenauth_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A ledger is what logins have answered, on a folder that fails.
type ledger struct {
	t      *testing.T
	what   string
	mem    *vfs.Mem
	logins *tokenauth.Logins
	ended  []string
	last   map[string]uint32 // the number of the newest token that was handed out, by login
}

func at() time.Time { return now }

func until(login string) auth.Login { return auth.Login{ID: login, Ends: now.Add(time.Hour)} }

// end ends a login, and renew renews it by its newest token. Of what fails nothing is to be
// seen, and the next attempt works.
func (l *ledger) end(login string) error {
	err := l.logins.End(until(login))
	if err == nil {
		l.ended = append(l.ended, login)
	}
	if l.logins.Ended(login) != (err == nil) {
		l.t.Errorf("%s: the end of %s: %v, and it has ended: %t", l.what, login, err, err != nil)
	}
	return err
}

func (l *ledger) renew(login string) error {
	next, err := l.logins.Renew(until(login), l.last[login])
	if err == nil {
		l.last[login] = next
	}
	return err
}

// crash looks at what a start finds if the host fails now: all that was answered, and the
// newest tokens renew.
func (l *ledger) crash(keep float64, seed uint64) {
	l.t.Helper()
	found, err := tokenauth.OpenLogins(l.mem.Crash(rand.New(rand.NewPCG(seed, 0)), keep), at)
	if err != nil {
		l.t.Fatalf("%s: after a crash: %v", l.what, err)
	}
	defer found.Close()
	for _, login := range l.ended {
		if !found.Ended(login) {
			l.t.Errorf("%s: after a crash %s goes on, and was ended", l.what, login)
		}
	}
	for login, n := range l.last {
		if next, err := found.Renew(until(login), n); err != nil || next != n+1 {
			l.t.Errorf("%s: after a crash token %d of %s gets %d, %v", l.what, n, login, next, err)
		}
	}
}

// TestLoginsFaults lets each operation on the disk fail, once or from then on, with the lines
// so many that the file is made anew meanwhile. Nobody is answered before it is on the disk;
// what failed is an error, leaves nothing behind, and works the next time.
func TestLoginsFaults(t *testing.T) {
	kinds := map[string]bool{}
	for _, off := range []bool{false, true} {
		for _, short := range []int{0, 9, 100} {
			failed := true
			for n := 0; failed; n++ {
				l := &ledger{t: t, what: fmt.Sprintf("operation %d, %d bytes, for good: %t", n, short, off), mem: vfs.NewMem(), last: map[string]uint32{}}
				seen := -1 // operations since faults may come
				failed = false
				left := false // the file, as one of its operations has failed
				fault := &vfs.Fault{FS: l.mem, Hook: func(op vfs.Op) (int, error) {
					if seen < 0 {
						return 0, nil
					}
					if op.Name == "logins" && op.Changes() && left {
						t.Errorf("%s: %s of the file on which one has failed", l.what, op.Kind)
					}
					if seen++; seen-1 == n || off && failed {
						failed, kinds[op.Kind] = true, true
						left = left || op.Name == "logins"
						return short, errors.New("the disk fails")
					}
					left = left && op.Kind != "rename"
					return 0, nil
				}}
				var err error
				if l.logins, err = tokenauth.OpenLogins(fault, at); err != nil {
					t.Fatal(err)
				}
				for range 101 {
					if err := l.renew("busy"); err != nil {
						t.Fatal(err)
					}
				}
				seen = 0
				for i := range 3 {
					renew := func() error { return l.renew("busy") }
					for _, try := range []func() error{renew, renew, func() error { return l.end(strings.Repeat("long", 20) + fmt.Sprint(i)) }} {
						before := failed
						err := try()
						if now := failed && (off || !before); (err != nil) != now {
							t.Errorf("%s: %v, and the disk has failed: %t", l.what, err, now)
						}
						for seed, keep := range []float64{0, 0.5, 1} {
							l.crash(keep, uint64(seed))
						}
						if failed && !off {
							if err := l.end("again"); err != nil {
								t.Errorf("%s: the next attempt: %v", l.what, err)
							}
						}
					}
				}
				l.logins.Close()
			}
		}
	}
	for _, kind := range []string{"create", "write", "sync", "rename", "syncdir"} {
		if !kinds[kind] {
			t.Errorf("no %s has failed", kind)
		}
	}
}

// TestReuseOnAFullDisk: that somebody has stolen a token is told once the login has ended, and
// it does not end before that is on the disk.
func TestReuseOnAFullDisk(t *testing.T) {
	full, clock := false, now
	fault := &vfs.Fault{FS: vfs.NewMem(), Hook: func(op vfs.Op) (int, error) {
		if full && op.Changes() {
			return 0, errors.New("no space left")
		}
		return 0, nil
	}}
	logins, err := tokenauth.OpenLogins(fault, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	defer logins.Close()
	for n := range uint32(2) {
		if _, err := logins.Renew(until("a"), n); err != nil {
			t.Fatal(err)
		}
	}
	clock, full = clock.Add(2*time.Minute), true
	if _, err := logins.Renew(until("a"), 0); err == nil || errors.Is(err, tokenauth.ErrReused) || logins.Ended("a") {
		t.Errorf("%v, and it has ended: %t", err, logins.Ended("a"))
	}
	full = false
	if _, err := logins.Renew(until("a"), 0); !errors.Is(err, tokenauth.ErrReused) || !logins.Ended("a") {
		t.Errorf("%v, and it has ended: %t", err, logins.Ended("a"))
	}
}

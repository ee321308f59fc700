package auth_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/message"
)

// passwords has one user, alice, and counts how often it is asked.
type passwords struct{ asked int }

func (p *passwords) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	if p.asked++; c.User == "alice" && c.Password == "right" {
		return &auth.Identity{User: "alice"}, nil
	}
	return nil, auth.ErrDenied
}

type guarded struct {
	t     *testing.T
	now   time.Time
	users passwords
	chain *auth.Guarded
}

func newGuarded(t *testing.T) *guarded {
	g := &guarded{t: t, now: time.Unix(1_790_000_000, 0)}
	guard := auth.NewGuard(func() time.Time { return g.now })
	g.chain = auth.NewChain([]auth.Named{{Name: "users", Authenticator: &g.users}}, nil).Guard(guard)
	return g
}

// try logs in, and returns how it was answered and whether anybody was asked.
func (g *guarded) try(user, password, from string) (code message.Code, wait time.Duration) {
	g.t.Helper()
	before := g.users.asked
	_, err := g.chain.Authenticate(g.t.Context(), auth.Credentials{User: user, Password: password, From: netip.MustParseAddr(from)})
	if err == nil {
		return "", 0
	}
	e := message.AsError(err)
	if limited := e.Code == message.RateLimited; limited != (g.users.asked == before) || limited != (e.RetryAfter > 0) {
		g.t.Errorf("%v, asked %d times, to wait for %v", err, g.users.asked-before, e.RetryAfter)
	}
	return e.Code, e.RetryAfter
}

func (g *guarded) want(want message.Code, user, password, from string) {
	g.t.Helper()
	if code, _ := g.try(user, password, from); code != want {
		g.t.Errorf("%s from %s: %q, want %q", user, from, code, want)
	}
}

// Who guesses waits longer each time, however the name is written and from whichever
// address of the network; the user comes in from elsewhere meanwhile.
func TestGuardUserAndAddress(t *testing.T) {
	g := newGuarded(t)
	spellings := []string{"alice", "Alice", " alice", "ALICE ", "alice"}
	for i, spelling := range spellings {
		g.want(message.Unauthorized, spelling, "guess", fmt.Sprintf("2001:db8::%d", i+1))
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		code, wait := g.try("alice", "right", "2001:db8::9")
		if code != message.RateLimited || wait != want*time.Second {
			t.Errorf("%q for %v, want %d s", code, wait, want)
		}
		g.want("", "alice", "right", "2001:db8:0:1::1")
		g.now = g.now.Add(wait)
		g.want(message.Unauthorized, "alice", "guess", "2001:db8::9")
	}
	g.now = g.now.Add(time.Hour)
	g.want("", "alice", "right", "2001:db8::9")
}

// One address gets no more tries by taking more names; this host's own, behind which
// may be a proxy, is not one client's.
func TestGuardAddress(t *testing.T) {
	g := newGuarded(t)
	g.want("", "alice", "right", "192.0.2.1")
	for i := range 30 {
		g.want(message.Unauthorized, fmt.Sprint("user", i), "guess", "192.0.2.1")
		g.want(message.Unauthorized, fmt.Sprint("user", i), "guess", "127.0.0.1")
	}
	g.want(message.RateLimited, "bob", "guess", "::ffff:192.0.2.1")
	g.want(message.Unauthorized, "bob", "guess", "127.0.0.1")
	g.want(message.Unauthorized, "bob", "guess", "192.0.2.2")
	g.want("", "alice", "right", "192.0.2.1")
	g.now = g.now.Add(5 * time.Second)
	g.want(message.Unauthorized, "bob", "guess", "192.0.2.1")
	g.want(message.RateLimited, "bob", "guess", "192.0.2.1")
}

// Many addresses that guess for one user are slowed down together, and do not lock
// the user out from where they log in.
func TestGuardUser(t *testing.T) {
	g := newGuarded(t)
	g.want("", "alice", "right", "198.51.100.1")
	for i := range 100 {
		g.want(message.Unauthorized, "alice", "guess", fmt.Sprintf("192.0.2.%d", i))
	}
	g.want(message.RateLimited, "alice", "guess", "192.0.2.200")
	g.want("", "alice", "right", "198.51.100.1")
	g.want(message.Unauthorized, "bob", "guess", "192.0.2.200")
}

// What is remembered is bounded, and what has no address is not guarded.
func TestGuardBounds(t *testing.T) {
	g := newGuarded(t)
	for i := range 40_000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		_, _ = g.chain.Authenticate(t.Context(), auth.Credentials{User: fmt.Sprint(i), Password: "guess", From: a})
	}
	if n := auth.Remembered(g.chain); n > 2*(32<<10)+3 {
		t.Errorf("%d are remembered", n)
	}
	for range 20 {
		if _, err := g.chain.Authenticate(t.Context(), auth.Credentials{User: "x", Password: "guess"}); message.CodeOf(err) != message.Unauthorized {
			t.Fatal(err)
		}
	}
}

// slow judges alice's password when it is told to, and notes how many it judges at a
// time.
type slow struct {
	mu          sync.Mutex
	asked, most int
	now         int
	judge       chan struct{}
}

func (s *slow) Authenticate(ctx context.Context, c auth.Credentials) (*auth.Identity, error) {
	s.mu.Lock()
	s.asked++
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	<-s.judge
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	if c.Password != "right" {
		return nil, auth.ErrDenied
	}
	return &auth.Identity{User: c.User}, nil
}

// burst has many attempts made at once and counts the answers.
func burst(t *testing.T, users *slow, chain *auth.Guarded, n int, attempt func(i int) auth.Credentials) map[message.Code]int {
	answers := make(chan message.Code, n)
	for i := range n {
		go func() {
			_, err := chain.Authenticate(t.Context(), attempt(i))
			answers <- message.CodeOf(err)
		}()
	}
	synctest.Wait()
	close(users.judge)
	got := map[message.Code]int{}
	for range n {
		got[<-answers]++
	}
	return got
}

// Guesses that come all at once are worth no more than those that come one by one; a
// burst of those who know their passwords gets in, all of it.
func TestGuardBurst(t *testing.T) {
	from := netip.MustParseAddr("192.0.2.1")
	const n = 900
	for what, c := range map[string]struct {
		attempt  func(i int) auth.Credentials
		in, most int // logged in, judged at a time
		asked    int // in all
	}{
		"guesses for one user": {
			func(i int) auth.Credentials {
				return auth.Credentials{User: "alice", Password: fmt.Sprint(i), From: from}
			}, 0, 5, 5,
		},
		"guesses for many users": {
			func(i int) auth.Credentials {
				return auth.Credentials{User: fmt.Sprint("user", i), Password: "guess", From: from}
			}, 0, 30, 30,
		},
		"guesses from many addresses": {
			func(i int) auth.Credentials {
				a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
				return auth.Credentials{User: "alice", Password: "guess", From: a}
			}, 0, 100, 100,
		},
		"one user": {
			func(int) auth.Credentials { return auth.Credentials{User: "alice", Password: "right", From: from} }, n, n, n,
		},
		"many users behind one address": {
			func(i int) auth.Credentials {
				return auth.Credentials{User: fmt.Sprint("user", i), Password: "right", From: from}
			}, n, 30, n,
		},
		"many users behind a proxy that nobody has told of": {
			func(i int) auth.Credentials {
				return auth.Credentials{User: fmt.Sprint("user", i), Password: "right", From: netip.MustParseAddr("::1")}
			}, n, n, n,
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				users := &slow{judge: make(chan struct{})}
				chain := auth.NewChain([]auth.Named{{Name: "users", Authenticator: users}}, nil).Guard(auth.NewGuard(time.Now))
				got := burst(t, users, chain, n, c.attempt)
				if got[""] != c.in || users.asked != c.asked || users.most > c.most || got[message.RateLimited] != n-c.asked {
					t.Errorf("%d asked, at most %d at a time; answers: %v", users.asked, users.most, got)
				}
			})
		})
	}
}

// From where a user has logged in before, guesses that come all at once are worth no
// more either; nor does a burst of the user's own lock anybody out.
func TestGuardBurstWhereTheUserIsKnown(t *testing.T) {
	const n = 900
	for password, asked := range map[string]int{"guess": 5, "right": n} {
		t.Run(password, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				users := &slow{judge: make(chan struct{})}
				chain := auth.NewChain([]auth.Named{{Name: "users", Authenticator: users}}, nil).Guard(auth.NewGuard(time.Now))
				attempt := func(password string) auth.Credentials {
					return auth.Credentials{User: "alice", Password: password, From: netip.MustParseAddr("192.0.2.1")}
				}
				if got := burst(t, users, chain, 1, func(int) auth.Credentials { return attempt("right") }); got[""] != 1 {
					t.Fatalf("the first login: %v", got)
				}
				users.asked, users.judge = 0, make(chan struct{})
				got := burst(t, users, chain, n, func(int) auth.Credentials { return attempt(password) })
				if users.asked != asked || users.most > 5 || got[message.RateLimited] != n-asked {
					t.Errorf("%d asked, at most %d at a time; answers: %v", users.asked, users.most, got)
				}
			})
		})
	}
}

// Who waits for others to be judged can leave; too many wait for nobody; and what
// could not be found out is no wrong password.
func TestGuardWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := &slow{judge: make(chan struct{})}
		chain := auth.NewChain([]auth.Named{{Name: "users", Authenticator: users}}, nil).Guard(auth.NewGuard(time.Now))
		guess := auth.Credentials{User: "alice", Password: "guess", From: netip.MustParseAddr("192.0.2.1")}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan message.Code, 2000)
		try := func() {
			_, err := chain.Authenticate(ctx, guess)
			left <- message.CodeOf(err)
		}
		for range 5 + 1024 + 1 {
			go try()
		}
		synctest.Wait()
		if code := <-left; len(left) != 0 || code != message.RateLimited {
			t.Errorf("one too many: %q, and %d more", code, len(left))
		}
		cancel()
		for range 1024 {
			if code := <-left; code != message.Unavailable {
				t.Fatalf("one who has left: %q", code)
			}
		}
		close(users.judge)
		for range 5 {
			if code := <-left; code != message.Unauthorized {
				t.Errorf("one who was judged: %q", code)
			}
		}
		if auth.Pending(chain) != 0 {
			t.Errorf("%d are pending", auth.Pending(chain))
		}
	})
}

package auth_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
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

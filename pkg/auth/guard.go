package auth

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
)

// What wrong passwords are answered without a wait, and how fast that is forgotten.
const (
	freeTries   = 5                // for one user from one address; then 1 s, 2 s, 4 s …
	longestWait = 5 * time.Minute  // and no longer
	tryMemory   = 15 * time.Minute // without another one
	perAddress  = 30               // for any users
	perUser     = 100              // from any addresses, but those from which the user has logged in
	forgiven    = 5 * time.Second  // of these one is forgotten each
	// maxGuarded bounds each of two generations of what is remembered.
	maxGuarded = 32 << 10
	// maxPending bounds the attempts that wait for others to be judged.
	maxPending = 1024
)

// A Guard slows down who guesses passwords: by user and address, by address (of
// IPv6 the /64 that one subscriber has), and by user. Nobody is locked out by
// others: a user comes in from where they did before, whatever is tried from
// elsewhere, and one who guesses has one address. What is being judged may be wrong
// as well: no more is at a time than may be wrong without a wait, and who comes then
// waits for those; so many guesses at once are worth no more than one by one. What it
// knows is bounded; the oldest is forgotten first. It may be used concurrently.
type Guard struct {
	now  func() time.Time
	seed maphash.Seed

	mu         sync.Mutex
	young, old map[uint64]tries
	since      time.Time // of young
	pending    map[uint64]int
	waiting    []*waiter // in the order in which they came
}

// tries are what is known of one key.
type tries struct {
	until    time.Duration // when the next one is judged, or the bucket is empty; Unix time
	failures uint32
	good     bool // the user has logged in from there
}

// NewGuard returns a guard that knows nothing.
func NewGuard(now func() time.Time) *Guard {
	return &Guard{now: now, seed: maphash.MakeSeed(), young: map[uint64]tries{}, since: now(), pending: map[uint64]int{}}
}

// Guarded is a chain whose passwords are guarded. Tokens and certificates are not:
// nobody guesses those.
type Guarded struct {
	*Chain
	guard *Guard
}

// Guard returns c guarded by g.
func (c *Chain) Guard(g *Guard) *Guarded { return &Guarded{c, g} }

// Authenticate is Chain's. Where too many wrong passwords came before, the error is
// message.RateLimited with the time to wait, and nobody is asked.
func (c *Guarded) Authenticate(ctx context.Context, creds Credentials) (*Identity, error) {
	if creds.Token != "" || creds.OnlyCertificate() || !creds.From.IsValid() {
		return c.Chain.Authenticate(ctx, creds)
	}
	k := c.guard.keys(creds)
	if err := c.guard.begin(ctx, k); err != nil {
		c.metrics.decided(nobody, err)
		return nil, err.Because(fmt.Errorf("user %q: %w", creds.User, err.Cause))
	}
	is := unjudged
	defer func() { c.guard.end(k, is) }()
	id, err := c.Chain.Authenticate(ctx, creds)
	switch {
	case err == nil:
		is = right
	case message.CodeOf(err) == message.Unauthorized:
		is = wrong
	}
	return id, err
}

// limited tells for how long an attempt is not judged.
func limited(wait time.Duration) *message.Error {
	seconds := math.Ceil(wait.Seconds())
	e := message.Errorf(message.RateLimited, "too many wrong passwords; try again in %.0f s", seconds)
	e.RetryAfter, e.Cause = time.Duration(seconds)*time.Second, errGuarded
	return e
}

// guardKeys are under which an attempt is remembered. Names are folded: that one
// user is written in several ways gives nobody more tries.
type guardKeys struct {
	pair, address, user uint64

	local bool // the address is of this host
}

func (g *Guard) keys(c Credentials) guardKeys {
	bits := 32
	from := c.From.Unmap()
	if from.Is6() {
		bits = 64
	}
	network, _ := from.WithZone("").Prefix(bits) // of a valid address these are valid
	user := strings.ToLower(strings.TrimSpace(c.User))
	type pair struct {
		network netip.Prefix
		user    string
	}
	return guardKeys{
		pair:    maphash.Comparable(g.seed, pair{network, user}),
		address: maphash.Comparable(g.seed, network),
		user:    maphash.Comparable(g.seed, user),
		local:   from.IsLoopback(),
	}
}

// judge returns for how long an attempt is not judged, and else whether there is room
// for it beside those that are being judged.
func (g *Guard) judge(k guardKeys) (wait time.Duration, room bool) {
	now := g.turn()
	pair := g.get(k.pair)
	wait = pair.until - now
	room = g.pending[k.pair] < max(1, freeTries-int(pair.failures))
	if pair.good {
		return wait, room
	}
	bucket := func(key uint64, size int) {
		level := g.get(key).until - now
		wait = max(wait, level-time.Duration(size-1)*forgiven)
		room = room && g.pending[key]+int(max(0, level)/forgiven) < size
	}
	bucket(k.user, perUser)
	if !k.local { // behind it may be a proxy that nobody has told us of, and everybody
		bucket(k.address, perAddress)
	}
	return wait, room
}

func (g *Guard) right(k guardKeys) {
	g.turn()
	g.young[k.pair] = tries{good: true}
}

func (g *Guard) wrong(k guardKeys) {
	now := g.turn()
	pair := g.get(k.pair)
	if pair.failures++; pair.failures >= freeTries {
		pair.until = now + min(longestWait, time.Second<<min(pair.failures-freeTries, 20))
	}
	g.young[k.pair] = pair
	for _, key := range []uint64{k.address, k.user} {
		bucket := g.get(key)
		bucket.until = max(bucket.until, now) + forgiven
		g.young[key] = bucket
	}
}

func (g *Guard) get(key uint64) tries {
	if t, ok := g.young[key]; ok {
		return t
	}
	return g.old[key]
}

// turn forgets what is too old or too much, and returns the time.
func (g *Guard) turn() time.Duration {
	now := g.now()
	if len(g.young) >= maxGuarded || now.Sub(g.since) >= tryMemory {
		if now.Sub(g.since) >= 2*tryMemory {
			g.young = nil
		}
		g.old, g.young, g.since = g.young, map[uint64]tries{}, now
	}
	return time.Duration(now.UnixNano())
}

package ldapauth

import (
	"maps"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
)

// maxKnown bounds the users of whom something is known; more are looked up each
// time.
const maxKnown = 1_000_000

// known is what the directory has said of users, and when. It may be used
// concurrently.
type known struct {
	mu    sync.Mutex
	users map[string]record
	begun time.Time // of the last round in which all are looked up again
}

// A record is about one user. It is never changed, only replaced.
type record struct {
	identity *auth.Identity
	password string    // see person
	found    time.Time // when the directory was asked
}

func (k *known) round() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.begun
}

func (k *known) begin(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun = now
}

func (k *known) get(user string) (record, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.users[user]
	return r, ok
}

// put keeps r, unless something newer is known, and returns what was known before.
func (k *known) put(r record) (before record, had bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before, had = k.users[r.identity.User]
	if k.users == nil {
		k.users = make(map[string]record)
	}
	if had && r.found.Before(before.found) || !had && len(k.users) >= maxKnown {
		return before, had
	}
	k.users[r.identity.User] = r
	return before, had
}

// remove forgets a user who is not there any more by what was found at a time.
func (k *known) remove(user string, found time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r, had := k.users[user]; had && !found.Before(r.found) {
		delete(k.users, user)
	}
}

// trim forgets what was found before a time.
func (k *known) trim(before time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.users, func(_ string, r record) bool { return r.found.Before(before) })
}

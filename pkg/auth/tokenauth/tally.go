package tokenauth

import (
	"crypto/sha256"
	"encoding/binary"
)

// A tally counts what is remembered, and how much of it is of one user: who logs in and out
// without end fills their own share, and nobody else's.
type tally struct {
	share int            // of a user, in logins
	of    map[uint64]int // by user; those of nobody are not in it
	over  int            // beyond the share of their user
}

func newTally(share int) tally { return tally{share: share, of: make(map[uint64]int)} }

// full reports whether a user's share is used up.
func (t *tally) full(user uint64) bool { return user != 0 && t.of[user] >= t.share }

func (t *tally) add(user uint64) {
	if user == 0 {
		return
	}
	if t.full(user) {
		t.over++
	}
	t.of[user]++
}

func (t *tally) remove(user uint64) {
	if user == 0 {
		return
	}
	if t.of[user]--; t.full(user) {
		t.over--
	}
	if t.of[user] == 0 {
		delete(t.of, user)
	}
}

// userOf returns what tells a user of a realm from others in a Login.
func userOf(realm, user string) uint64 {
	sum := sha256.Sum256([]byte(realm + "\x00" + user))
	return binary.BigEndian.Uint64(sum[:])
}

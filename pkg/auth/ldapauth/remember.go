package ldapauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"sync"
	"time"
)

const (
	// maxRemembered bounds the passwords that are remembered, of each kind.
	maxRemembered = 100_000
	// A password that is offered again after it was wrong is refused for this
	// many times as long, up to longestWrong: an account is not locked by a client
	// that tries again and again.
	wrongGrowth  = 3
	longestWrong = time.Hour
)

// A digest stands for a name and a password: their HMAC under a key that is made
// at the start and never leaves the process.
type digest [sha256.Size]byte

// A memory remembers which passwords were right and which were wrong, so that a
// storm of reconnects is no storm of binds. It may be used concurrently.
type memory struct {
	key                [sha256.Size]byte
	keepRight, keepBad time.Duration // not positive: not at all
	now                func() time.Time
	limit              int

	mu    sync.Mutex
	right map[digest]right
	last  map[string]digest // by user: the one that is in right
	wrong map[digest]wrong
}

type right struct {
	user  string
	until time.Time
}

type wrong struct {
	wait        time.Duration
	until, gone time.Time // refused until; forgotten then
	locked      string    // since when the account was; else empty
}

func newMemory(keepRight, keepBad time.Duration, now func() time.Time) *memory {
	m := &memory{keepRight: keepRight, keepBad: keepBad, now: now, limit: maxRemembered, right: map[digest]right{}, last: map[string]digest{}, wrong: map[digest]wrong{}}
	rand.Read(m.key[:]) // never fails; see crypto/rand
	return m
}

func (m *memory) digest(name, password string) (d digest) {
	mac := hmac.New(sha256.New, m.key[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(name)))) // or "ab", "c" would be "a", "bc"
	mac.Write([]byte(name))
	mac.Write([]byte(password))
	mac.Sum(d[:0])
	return d
}

// isRight returns whose password d was a short time ago.
func (m *memory) isRight(d digest) (user string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.right[d]
	return r.user, ok && m.now().Before(r.until)
}

// wasRight remembers d in place of any other of the user.
func (m *memory) wasRight(d digest, user string) {
	if m.keepRight <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.forget(user)
	if len(m.right) >= m.limit {
		maps.DeleteFunc(m.right, func(_ digest, r right) bool { return !now.Before(r.until) })
		maps.DeleteFunc(m.last, func(_ string, d digest) bool { _, ok := m.right[d]; return !ok })
	}
	if len(m.right) < m.limit {
		m.right[d], m.last[user] = right{user, now.Add(m.keepRight)}, d
	}
}

// forgetRight forgets which password of the user was right: another may be now.
func (m *memory) forgetRight(user string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(user)
}

func (m *memory) forget(user string) {
	if d, ok := m.last[user]; ok {
		delete(m.right, d)
		delete(m.last, user)
	}
}

// isWrong reports whether d was wrong a short time ago, and not because the account
// was locked, which it is not any more.
func (m *memory) isWrong(d digest, locked string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.wrong[d]
	return ok && m.now().Before(w.until) && (w.locked == "" || w.locked == locked)
}

// wasWrong remembers d, the longer the more often. Where the password is right and
// the account is not, it is not longer: trying again does no harm.
func (m *memory) wasWrong(d digest, locked string, longer bool) {
	if m.keepBad <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	wait := m.keepBad
	if w, ok := m.wrong[d]; ok && longer && now.Before(w.gone) {
		wait = min(w.wait*wrongGrowth, max(longestWrong, m.keepBad))
	}
	if len(m.wrong) >= m.limit {
		maps.DeleteFunc(m.wrong, func(_ digest, w wrong) bool { return !now.Before(w.gone) })
	}
	if len(m.wrong) < m.limit {
		m.wrong[d] = wrong{wait, now.Add(wait), now.Add(wait + 2*longestWrong), locked}
	}
}

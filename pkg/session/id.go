package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/orbitd/orbitd/pkg/engine"
)

// An ID names a session. A named session's is its engine.SessionKey, any other
// is random.
type ID [16]byte

// String returns the ID as it stands on the wire: base64url without padding.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// parseID reads what String writes. Anything else names no session.
func parseID(s string) (id ID, ok bool) {
	n, err := base64.RawURLEncoding.Decode(id[:], []byte(s[:min(len(s), 22)]))
	return id, err == nil && n == len(id) && len(s) == 22
}

func newID() (id ID) {
	rand.Read(id[:]) // never fails; see crypto/rand
	return id
}

// keyOf derives the key of a named session. Lengths are bounded and none of the
// parts contains NUL, so no two triples give the same text.
func keyOf(realm, user, name string) engine.SessionKey {
	sum := sha256.Sum256([]byte("orbit session\x00" + realm + "\x00" + user + "\x00" + name))
	return engine.SessionKey(sum[:16])
}

// A secretHash is the first half of a secret's SHA-256. Secrets are 128 random
// bits, so that a longer one would be no harder to find a preimage of.
type secretHash [16]byte

func hashSecret(text string) secretHash {
	sum := sha256.Sum256([]byte(text))
	return secretHash(sum[:len(secretHash{})])
}

// newSecret returns a fresh secret and its hash, which is all that is kept.
func newSecret() (text string, hash secretHash) {
	var raw [16]byte
	rand.Read(raw[:])
	text = base64.RawURLEncoding.EncodeToString(raw[:])
	return text, hashSecret(text)
}

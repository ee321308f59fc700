package fileauth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of new hashes: the second of the equivalent settings that OWASP's
// password storage cheat sheet recommends, chosen for its small memory.
const (
	newMemory  = 19 << 10 // KiB
	newTime    = 2
	newThreads = 1
	saltLength = 16
	sumLength  = 32
)

// What a hash in the file may cost at most, so that a line cannot make a login
// take the machine's memory.
const (
	maxMemory  = 256 << 10 // KiB
	maxTime    = 16
	maxThreads = 16
	maxPart    = 64 // bytes of salt and sum
)

// MaxPassword bounds a password, in bytes.
const MaxPassword = 1024

// A hash is a password's Argon2id hash (RFC 9106).
type hash struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

// newHash hashes a password with fresh salt and the cost of today.
func newHash(password string) hash {
	h := hash{memory: newMemory, time: newTime, threads: newThreads, salt: make([]byte, saltLength), sum: make([]byte, sumLength)}
	rand.Read(h.salt) // never fails; see crypto/rand
	h.sum = h.of(password)
	return h
}

func (h hash) of(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.sum)))
}

// matches reports whether the password is the one that was hashed, in a time
// that does not depend on how much of it is right.
func (h hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password), h.sum) == 1
}

// work is what hashing costs, roughly: passes over memory.
func (h hash) work() uint64 { return uint64(h.memory) * uint64(h.time) }

// String returns the hash in the PHC string format, as other tools write it.
func (h hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64(h.salt), b64(h.sum))
}

// parseHash reads the PHC string format. Its errors do not contain the hash.
func parseHash(s string) (hash, error) {
	parts := strings.Split(s, "$")
	switch {
	case len(parts) < 2 || parts[0] != "":
		return hash{}, errors.New("what stands in place of the hash is none")
	case parts[1] != "argon2id":
		return hash{}, fmt.Errorf("a hash of kind %q; only argon2id is known", parts[1])
	case len(parts) != 6:
		return hash{}, errors.New("the hash has parts missing or too many")
	case parts[2] != fmt.Sprintf("v=%d", argon2.Version):
		return hash{}, fmt.Errorf("the hash is of version %q; only v=%d is known", parts[2], argon2.Version)
	}
	h, err := parseCost(parts[3])
	if err != nil {
		return hash{}, err
	}
	if h.salt, err = decodePart(parts[4], 8); err != nil {
		return hash{}, fmt.Errorf("the hash's salt %w", err)
	}
	if h.sum, err = decodePart(parts[5], 16); err != nil {
		return hash{}, fmt.Errorf("the hash's last part %w", err)
	}
	return h, nil
}

// parseCost reads "m=19456,t=2,p=1".
func parseCost(s string) (hash, error) {
	var n [3]uint64
	limits := [3]uint64{maxMemory, maxTime, maxThreads}
	fields := strings.Split(s, ",")
	if len(fields) != len(n) {
		return hash{}, fmt.Errorf("the hash's cost %q is not of the form m=19456,t=2,p=1", s)
	}
	for i, name := range []string{"m=", "t=", "p="} {
		digits, found := strings.CutPrefix(fields[i], name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !found || err != nil {
			return hash{}, fmt.Errorf("the hash's cost %q is not of the form m=19456,t=2,p=1", s)
		}
		if v < 1 || v > limits[i] {
			return hash{}, fmt.Errorf("the hash's cost %s%d is out of range; at most %d", name, v, limits[i])
		}
		n[i] = v
	}
	if n[0] < 8*n[2] || n[2] > math.MaxUint8 {
		return hash{}, fmt.Errorf("the hash's cost %q: m is less than 8 times p", s)
	}
	return hash{memory: uint32(n[0]), time: uint32(n[1]), threads: uint8(n[2])}, nil
}

func decodePart(s string, least int) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("is not base64 without padding")
	}
	if len(b) < least || len(b) > maxPart {
		return nil, fmt.Errorf("has %d bytes; it needs %d to %d", len(b), least, maxPart)
	}
	return b, nil
}

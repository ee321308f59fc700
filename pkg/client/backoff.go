package client

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

const (
	firstDelay = 50 * time.Millisecond
	maxDelay   = 10 * time.Second
)

// backoff is short at first, so that a restarted server is found soon, and
// jittered, so that its clients do not come back all at once.
func backoff(attempt int) time.Duration {
	return jitter(min(maxDelay, firstDelay<<min(attempt, 16)))
}

// jitter returns a random duration from half of d up to d.
func jitter(d time.Duration) time.Duration {
	var b [8]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	half := uint64(d / 2)
	return time.Duration(half + binary.LittleEndian.Uint64(b[:])%(half+1))
}

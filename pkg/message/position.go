package message

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// An Offset is the position of a message. Offsets increase strictly over the
// whole engine, hence also inside each channel; not every number is used. Zero
// is no message: "after 0" means "from the oldest that is retained".
type Offset uint64

// MaxOffset bounds all offsets, so that every client can hold one exactly: a
// JavaScript number is an IEEE 754 double.
const MaxOffset Offset = 1<<53 - 1

// An Epoch is the random name of one run of the engine. Zero is no epoch.
type Epoch uint64

// NewEpoch returns a fresh epoch from the system's random source.
func NewEpoch() Epoch {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails; see crypto/rand
		if e := Epoch(binary.BigEndian.Uint64(b[:])); e != 0 {
			return e
		}
	}
}

// String returns the epoch as it stands on the wire: 16 lower-case hexadecimal
// digits, or nothing for the zero epoch.
func (e Epoch) String() string {
	if e == 0 {
		return ""
	}
	return string(e.AppendText(make([]byte, 0, 16)))
}

// AppendText appends the 16 digits of e to b.
func (e Epoch) AppendText(b []byte) []byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(e))
	return hex.AppendEncode(b, raw[:])
}

// ParseEpoch reads what [Epoch.String] writes. Text of any other form is an
// error; callers that serve clients treat it as an epoch of another history.
func ParseEpoch(s string) (Epoch, error) {
	if s == "" {
		return 0, nil
	}
	var raw [8]byte
	if len(s) != 16 {
		return 0, fmt.Errorf("epoch %q: want 16 hexadecimal digits", s)
	}
	if _, err := hex.Decode(raw[:], []byte(s)); err != nil {
		return 0, fmt.Errorf("epoch %q: %w", s, err)
	}
	return Epoch(binary.BigEndian.Uint64(raw[:])), nil
}

// A Position is where a reader stands on a channel: the last message it has.
// The epoch says to which history the offset belongs: that of the connection
// over which the position was learned, which may be a later run than the one
// that stored the message. An offset of zero needs no epoch.
type Position struct {
	Epoch  Epoch
	Offset Offset
}

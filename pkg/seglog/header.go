package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	version     = 1
	segMagic    = "orbitSEG"
	headerFixed = 64
	headerPad   = 512
	runSize     = 24
	maxHeader   = headerFixed + runSize*MaxRuns // a multiple of headerPad

	// MaxRuns bounds how many runs a header remembers. A position of an older
	// one belongs to another history.
	MaxRuns = 1000
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// A Run is one run of the log: from Open to its end. First is taken by the run
// itself, Last is the last offset that it may have given; 0 while it lasts.
type Run struct {
	Epoch, First, Last uint64
}

// A header stands at the beginning of a segment; see FORMAT.md.
type header struct {
	seq, through uint32
	capacity     uint32
	end          uint32
	prevEnd      uint32
	next         uint64
	oldest       uint32
	salt         uint32
	runs         []Run
}

func (h *header) size() int {
	n := headerFixed + runSize*len(h.runs)
	return (n + headerPad - 1) / headerPad * headerPad
}

func (h *header) encode() []byte {
	b := make([]byte, h.size())
	copy(b, segMagic)
	le.PutUint32(b[12:], uint32(len(b)))
	le.PutUint32(b[16:], version)
	le.PutUint32(b[20:], h.seq)
	le.PutUint32(b[24:], h.through)
	le.PutUint32(b[28:], h.capacity)
	le.PutUint32(b[32:], h.end)
	le.PutUint32(b[36:], h.prevEnd)
	le.PutUint64(b[40:], h.next)
	le.PutUint32(b[48:], h.oldest)
	le.PutUint32(b[52:], uint32(len(h.runs)))
	le.PutUint32(b[56:], h.salt)
	for i, r := range h.runs {
		at := b[headerFixed+runSize*i:]
		le.PutUint64(at, r.Epoch)
		le.PutUint64(at[8:], r.First)
		le.PutUint64(at[16:], r.Last)
	}
	le.PutUint32(b[8:], checksum(b[12:]))
	return b
}

var errHeader = errors.New("the segment's header is damaged")

// errVersion says that a file is of another version. That is not damage.
func errVersion(what string, v uint32) error {
	return fmt.Errorf("the %s has format version %d; this program reads version %d", what, v, version)
}

// headerLength returns how long the header is that begins with b.
func headerLength(b []byte) (int, error) {
	if len(b) < headerFixed || string(b[:8]) != segMagic {
		return 0, errHeader
	}
	n := int(le.Uint32(b[12:]))
	if n < headerPad || n%headerPad != 0 || n > maxHeader {
		return 0, errHeader
	}
	return n, nil
}

// decodeHeader reads a whole header.
func decodeHeader(b []byte) (*header, error) {
	n, err := headerLength(b)
	if err != nil {
		return nil, err
	}
	if len(b) < n || le.Uint32(b[8:]) != checksum(b[12:n]) {
		return nil, errHeader
	}
	if v := le.Uint32(b[16:]); v != version {
		return nil, errVersion("segment", v)
	}
	h := &header{
		seq: le.Uint32(b[20:]), through: le.Uint32(b[24:]), capacity: le.Uint32(b[28:]),
		end: le.Uint32(b[32:]), prevEnd: le.Uint32(b[36:]), next: le.Uint64(b[40:]), oldest: le.Uint32(b[48:]),
		salt: le.Uint32(b[56:]),
	}
	runs := int(le.Uint32(b[52:]))
	if runs > MaxRuns || headerFixed+runSize*runs > n {
		return nil, errHeader
	}
	for i := range runs {
		at := b[headerFixed+runSize*i:]
		h.runs = append(h.runs, Run{le.Uint64(at), le.Uint64(at[8:]), le.Uint64(at[16:])})
	}
	return h, nil
}

// zero reports whether b holds nothing but zeros.
func zero(b []byte) bool {
	return len(bytes.TrimLeft(b, "\x00")) == 0
}

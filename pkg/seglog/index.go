package seglog

import (
	"errors"
	"fmt"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

const (
	idxMagic  = "orbitIDX"
	idxFixed  = 56
	idxStream = 36 // of a stream, without its name and the name's length
	entrySize = 16
)

var errIndex = errors.New("the index is damaged")

// encodeIndex returns the index file of s. Its parts have their entries in
// memory; at of each is set.
func encodeIndex(s *segment, parts []*part) (b []byte, at []int64) {
	b = make([]byte, idxFixed)
	copy(b, idxMagic)
	le.PutUint32(b[12:], version)
	le.PutUint32(b[16:], s.seq)
	le.PutUint32(b[20:], s.headerCRC)
	le.PutUint32(b[24:], s.end)
	le.PutUint32(b[28:], uint32(len(parts)))
	le.PutUint64(b[32:], s.base)
	le.PutUint64(b[40:], uint64(s.baseTime))
	total := 0
	for _, p := range parts {
		b = append(append(b, byte(len(p.stream.key))), p.stream.key...)
		b = le.AppendUint32(b, p.count)
		b = le.AppendUint64(b, p.prev)
		b = le.AppendUint64(b, p.last)
		b = le.AppendUint64(b, uint64(p.bytes))
		b = le.AppendUint64(b, uint64(p.lastTime))
		total += int(p.count)
	}
	le.PutUint32(b[48:], uint32(len(b)))
	le.PutUint32(b[52:], uint32(total))
	for _, p := range parts {
		at = append(at, int64(len(b)))
		for _, e := range p.entries {
			b = le.AppendUint32(b, e.offset)
			b = le.AppendUint32(b, e.pos)
			b = le.AppendUint32(b, e.size)
			b = le.AppendUint32(b, e.time)
		}
	}
	le.PutUint32(b[8:], checksum(b[12:]))
	return b, at
}

// An indexed is one stream in an index file.
type indexed struct {
	key string
	part
}

// decodeIndex reads the index of s; the result's parts belong to s.
func decodeIndex(b []byte, s *segment) (streams []indexed, err error) {
	if len(b) < idxFixed || string(b[:8]) != idxMagic || le.Uint32(b[8:]) != checksum(b[12:]) {
		return nil, errIndex
	}
	if le.Uint32(b[12:]) != version || le.Uint32(b[16:]) != s.seq || le.Uint32(b[20:]) != s.headerCRC || le.Uint32(b[24:]) != s.end {
		return nil, errIndex
	}
	at, total := int64(le.Uint32(b[48:])), int64(le.Uint32(b[52:]))
	if at < idxFixed || int64(len(b)) != at+total*entrySize {
		return nil, errIndex
	}
	table := b[idxFixed:at]
	for range le.Uint32(b[28:]) {
		if len(table) == 0 || len(table) < 1+int(table[0])+idxStream {
			return nil, errIndex
		}
		n := 1 + int(table[0])
		d := table[n:]
		streams = append(streams, indexed{string(table[1:n]), part{
			seg: s, count: le.Uint32(d), prev: le.Uint64(d[4:]), last: le.Uint64(d[12:]),
			bytes: int64(le.Uint64(d[20:])), lastTime: int64(le.Uint64(d[28:])), at: at,
		}})
		at += int64(le.Uint32(d)) * entrySize
		table = d[idxStream:]
	}
	if len(table) > 0 || at != int64(len(b)) {
		return nil, errIndex
	}
	s.base, s.baseTime, s.based = le.Uint64(b[32:]), int64(le.Uint64(b[40:])), true
	return streams, nil
}

// loadEntries reads n entries at at of the index file.
func (s *segment) loadEntries(at int64, n int) ([]entry, error) {
	b := make([]byte, n*entrySize)
	if err := readFull(s.idx, b, at); err != nil {
		return nil, fmt.Errorf("read the index of %s: %w", s.name, err)
	}
	entries := make([]entry, n)
	for i := range entries {
		d := b[i*entrySize:]
		entries[i] = entry{le.Uint32(d), le.Uint32(d[4:]), le.Uint32(d[8:]), le.Uint32(d[12:])}
	}
	return entries, nil
}

// readIndex opens a segment's index file and reads it; s.end is known.
func readIndex(dir vfs.FS, s *segment) ([]indexed, error) {
	f, err := dir.Open(idxName(s.seq), false)
	if err != nil {
		return nil, err
	}
	b, err := readAll(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	streams, err := decodeIndex(b, s)
	if err != nil {
		f.Close()
		return nil, err
	}
	s.idx = f
	return streams, nil
}

func readAll(f vfs.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	return b, readFull(f, b, 0)
}

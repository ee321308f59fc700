package seglog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A segment is one file of the log. The writer owns it while it is the newest;
// after that only live, parts and idx change, under Log.mu. It is closed when
// the log and all pins have released it.
type segment struct {
	header
	name      string
	file      vfs.File
	headerCRC uint32
	broken    bool  // a write or sync of the file failed, or another is read from it
	reserved  error // why it was made of the reserve: for urgent batches, while there is no other room

	first    uint32 // where its batches begin, if not right behind the header
	end      uint32 // where they end
	base     uint64 // of the first record of a stream, to which the entries are relative
	baseTime int64
	based    bool   // there is such a record
	last     uint64 // of the last one
	lastTime int64
	total    int // records of streams
	live     int // of these, not trimmed
	parts    []*part

	idx  vfs.File // nil until there is an index file
	refs atomic.Int32
}

func (s *segment) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	s.file.Close()
	if s.idx != nil {
		s.idx.Close()
	}
}

func segName(seq uint32) string { return fmt.Sprintf("%08x.seg", seq) }
func idxName(seq uint32) string { return fmt.Sprintf("%08x.idx", seq) }

// parseName returns the number in a file's name that ends in ext.
func parseName(name, ext string) (uint32, bool) {
	var seq uint32
	if len(name) != 8+len(ext) || name[8:] != ext {
		return 0, false
	}
	if _, err := fmt.Sscanf(name[:8], "%08x", &seq); err != nil {
		return 0, false
	}
	return seq, seq > 0 && name == fmt.Sprintf("%08x", seq)+ext
}

// A CorruptError says that something that was synced is damaged. The log is not
// served.
type CorruptError struct {
	File   string
	At     int64
	Reason error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %v", e.File, e.At, e.Reason)
}

func (e *CorruptError) Unwrap() error { return e.Reason }

var errMissing = errors.New("the file is missing")

// openSegment opens a segment and reads its header.
func openSegment(dir vfs.FS, seq uint32, write bool) (*segment, error) {
	name := segName(seq)
	file, err := dir.Open(name, write)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{dir.Path(name), 0, errMissing}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir.Path(name), err)
	}
	s := &segment{name: name, file: file}
	s.refs.Store(1)
	if err := s.readHeader(seq); err != nil {
		file.Close()
		if errors.Is(err, errHeader) {
			return nil, &CorruptError{dir.Path(name), 0, err}
		}
		return nil, fmt.Errorf("open %s: %w", dir.Path(name), err)
	}
	return s, nil
}

func (s *segment) readHeader(seq uint32) error {
	b := make([]byte, headerPad)
	if err := readFull(s.file, b, 0); err != nil {
		return orEOF(err, errHeader)
	}
	n, err := headerLength(b)
	if err != nil {
		return err
	}
	b = make([]byte, n)
	if err := readFull(s.file, b, 0); err != nil {
		return orEOF(err, errHeader)
	}
	h, err := decodeHeader(b)
	if err != nil {
		return err
	}
	if h.seq != seq || h.through < seq {
		return errHeader
	}
	s.header, s.headerCRC = *h, le.Uint32(b[8:])
	return nil
}

// orEOF returns damage where a file ended too early, else the error itself.
func orEOF(err, damage error) error {
	if errors.Is(err, io.EOF) {
		return damage
	}
	return err
}

// readFull fills b from off; io.EOF if the file ends before.
func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// canIndex reports whether an entry of s, with 32 bits each, can hold an offset and
// a time.
func (s *segment) canIndex(offset uint64, time int64) bool {
	const most = 1<<32 - 1
	return !s.based || offset >= s.base && offset-s.base <= most && time >= s.baseTime && time-s.baseTime <= most
}

// index adds a record at pos to its stream. Log.mu is held.
func (s *segment) index(st *Stream, r *Record, pos uint32) {
	if !s.based {
		s.base, s.baseTime, s.based = r.Offset, r.Time, true
	}
	s.last, s.lastTime = r.Offset, r.Time
	var p *part
	if n := len(st.parts); n > 0 && st.parts[n-1].seg == s {
		p = st.parts[n-1]
	} else {
		p = &part{seg: s, stream: st, prev: r.Prev}
		st.addPart(p)
		s.parts = append(s.parts, p)
	}
	p.entries = append(p.entries, entry{uint32(r.Offset - s.base), pos, r.Size, uint32(r.Time - s.baseTime)})
	p.count++
	p.bytes += int64(r.Size)
	p.last, p.lastTime = r.Offset, r.Time
	st.last = max(st.last, r.Offset)
	st.count++
	st.bytes += int64(r.Size)
	s.total++
	s.live++
}

// addPart puts p behind the stream's other parts. What was before its first
// record and is in no part is gone. Where that tears a hole, which rewriting can
// do, what is older goes as well: a stream is complete from its floor on.
func (st *Stream) addPart(p *part) {
	if n := len(st.parts); n == 0 || st.parts[n-1].last != p.prev {
		st.dropAll()
		st.floor = max(st.floor, p.prev)
	}
	st.parts = append(st.parts, p)
}

// dropAll trims all that the stream has.
func (st *Stream) dropAll() {
	for i, p := range st.parts {
		p.seg.live -= int(p.count)
		if i == 0 {
			p.seg.live += int(st.skip)
		}
		st.floor = max(st.floor, p.last)
	}
	st.parts, st.head, st.skip, st.count, st.bytes = nil, nil, 0, 0, 0
}

package seglog

const (
	// readWindow bounds what is read at once for entries that stand near each
	// other, readGap how far apart they may be.
	readWindow = 128 << 10
	readGap    = 4 << 10
	// readExtra is what a record has besides what its Size counts, at a guess.
	readExtra = 256
)

// Records reads entries, which are in order, and calls yield for each of them
// until it returns false. The bodies are the caller's to keep. A *CorruptError
// says that what was found is not what was stored.
func (l *Log) Records(entries []Entry, key func(i int) string, yield func(i int, r *Record) bool) error {
	var window []byte
	var at uint32
	var of *segment
	for i := range entries {
		e := &entries[i]
		if e.seg != of || e.pos < at || int(e.pos-at) >= len(window) {
			n := windowSize(entries[i:])
			window, at, of = make([]byte, n), e.pos, e.seg
			got, err := e.seg.file.ReadAt(window, int64(at))
			if got == 0 {
				return corrupt(l.fs, e.seg, e.pos, orEOF(err, errBadRecord))
			}
			window = window[:got]
		}
		r, err := l.record(e, window[e.pos-at:], key(i))
		if err != nil {
			return err
		}
		if !yield(i, &r) {
			return nil
		}
	}
	return nil
}

// windowSize returns how much to read to have the first entry and what stands
// near behind it.
func windowSize(entries []Entry) int {
	first := &entries[0]
	end := first.pos + first.Size + readExtra
	for i := 1; i < len(entries); i++ {
		e := &entries[i]
		if e.seg != first.seg || e.pos > end+readGap || e.pos+e.Size+readExtra-first.pos > readWindow {
			break
		}
		end = e.pos + e.Size + readExtra
	}
	return int(end - first.pos)
}

// record decodes the record of e, of which b holds the beginning if not all.
func (l *Log) record(e *Entry, b []byte, key string) (Record, error) {
	if n := recordLength(b); n > len(b) {
		if int64(n) > int64(e.seg.capacity)-int64(e.pos) {
			return Record{}, corrupt(l.fs, e.seg, e.pos, errBadRecord)
		}
		b = make([]byte, n)
		if err := readFull(e.seg.file, b, int64(e.pos)); err != nil {
			return Record{}, corrupt(l.fs, e.seg, e.pos, orEOF(err, errBadRecord))
		}
		if recordLength(b) > len(b) {
			return l.record(e, b, key)
		}
	}
	r, _, err := decodeRecordAs(b, key)
	if err == nil && (r.Offset != e.Offset || r.Key != key) {
		err = errBadRecord
	}
	if err != nil {
		return Record{}, corrupt(l.fs, e.seg, e.pos, err)
	}
	return r, nil
}

// recordLength returns how long the record is that begins with b; if b is too
// short to tell, what it takes to tell.
func recordLength(b []byte) int {
	if len(b) < recordFixed {
		return recordFixed
	}
	return int(le.Uint32(b[4:]))
}

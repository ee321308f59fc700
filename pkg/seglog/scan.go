package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// scanWindow is how much is read at once when a segment is read as a whole.
const scanWindow = 1 << 20

// A scanner reads a segment's batches one after the other.
type scanner struct {
	seg *segment
	end uint32 // nothing is read beyond
	buf []byte
	at  uint32 // position of buf's beginning
}

// bytes returns n bytes at pos, fewer where the segment ends. They are good
// until the next call.
func (r *scanner) bytes(pos uint32, n int) ([]byte, error) {
	n = min(n, int(r.end-min(pos, r.end)))
	if pos >= r.at && int(pos-r.at)+n <= len(r.buf) {
		return r.buf[pos-r.at:][:n], nil
	}
	want := max(n, min(scanWindow, int(r.end-pos)))
	if cap(r.buf) < want {
		r.buf = make([]byte, want)
	}
	got, err := r.seg.file.ReadAt(r.buf[:want], int64(pos))
	if err != nil && !errors.Is(err, io.EOF) {
		r.buf = r.buf[:0]
		return nil, err
	}
	r.buf, r.at = r.buf[:got], pos
	return r.buf[:min(n, got)], nil
}

// scan calls do for each batch of s before end and returns where they end. A bad
// batch is errNoBatch or errBadBatch.
func scan(s *segment, end uint32, do func(f *frame, payload []byte) error) (uint32, error) {
	return scanFrom(s, uint32(s.header.size()), end, do)
}

func scanFrom(s *segment, pos, end uint32, do func(f *frame, payload []byte) error) (uint32, error) {
	r := &scanner{seg: s, end: end}
	for pos < end {
		b, err := r.bytes(pos, batchHeader)
		if err != nil {
			return pos, err
		}
		f, err := decodeFrame(b, &s.header, pos)
		if err != nil {
			return pos, err
		}
		b, err = r.bytes(pos, f.whole)
		if err != nil {
			return pos, err
		}
		if len(b) < f.whole || checksum(b[batchHeader:batchHeader+f.length]) != f.payloadCRC || !zero(b[batchHeader+f.length:]) {
			return pos, errBadBatch
		}
		if err := do(&f, b[batchHeader:batchHeader+f.length]); err != nil {
			return pos, err
		}
		pos += uint32(f.whole)
	}
	return pos, nil
}

// A tail is what recovery found behind the last good sync of the newest segment.
type tail struct {
	synced  uint32 // where the segment ends from now on
	batches []tailBatch
	torn    bool
}

// A tailBatch is to be written again.
type tailBatch struct {
	frame   frame
	content []byte // header and payload
}

// readNewest reads the newest segment up to its first bad batch. What was synced
// is indexed, what may not be is returned.
func (l *Log) readNewest(s *segment) (*tail, error) {
	if s.header.end != 0 { // rewritten, which is done only with others behind it
		return nil, &CorruptError{l.fs.Path(segName(s.through + 1)), 0, errMissing}
	}
	if err := s.holds(l.fs, s.capacity); err != nil {
		return nil, err
	}
	l.ceiling = max(l.ceiling, s.next-1)
	if n := len(s.runs); n > 0 {
		l.ceiling = max(l.ceiling, s.runs[n-1].First)
	}
	t := &tail{synced: uint32(s.header.size())}
	end, err := scan(s, s.capacity, func(f *frame, payload []byte) error {
		l.noteFrame(f)
		t.synced = max(t.synced, f.synced)
		if err := l.settle(s, t); err != nil {
			return err
		}
		if f.count > 0 {
			t.add(f, payload)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNoBatch) && !errors.Is(err, errBadBatch) {
		return nil, fmt.Errorf("read %s: %w", l.fs.Path(s.name), err)
	}
	return t, l.judgeEnd(s, t, end, err)
}

func (t *tail) add(f *frame, payload []byte) {
	content := append(make([]byte, batchHeader, batchHeader+len(payload)+align), payload...)
	t.batches = append(t.batches, tailBatch{*f, content})
}

// settle indexes the batches that turned out to be synced.
func (l *Log) settle(s *segment, t *tail) error {
	for len(t.batches) > 0 && t.batches[0].frame.pos < t.synced {
		b := &t.batches[0]
		if err := l.indexPayload(s, &b.frame, b.content[batchHeader:]); err != nil {
			return corrupt(l.fs, s, b.frame.pos, err)
		}
		t.batches = t.batches[1:]
	}
	return nil
}

// judgeEnd decides what the bad batch at end is, and ends the segment at the
// greatest mark.
func (l *Log) judgeEnd(s *segment, t *tail, end uint32, bad error) error {
	if bad != nil {
		rest := make([]byte, s.capacity-end)
		if err := readFull(s.file, rest, int64(end)); err != nil {
			return fmt.Errorf("read %s: %w", l.fs.Path(s.name), err)
		}
		if mark := greatestMark(&s.header, rest, end); mark > end {
			return &CorruptError{l.fs.Path(s.name), int64(end), bad}
		}
		t.torn = !zero(rest)
	}
	if at, ok := l.ckpt.covers(s.seq); ok { // all before a checkpoint was synced before it was taken
		if at > end {
			return &CorruptError{l.fs.Path(s.name), int64(end), fmt.Errorf("a checkpoint was taken at byte %d", at)}
		}
		t.synced = max(t.synced, at)
	}
	if err := l.settle(s, t); err != nil {
		return err
	}
	s.end = t.synced
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.fs.Path(s.name), err)
	}
	return nil
}

// greatestMark returns the greatest "synced" of the intact batch headers in b,
// which stands at pos of the segment.
func greatestMark(h *header, b []byte, pos uint32) uint32 {
	var mark uint32
	for at := 0; ; at += align {
		next := bytes.Index(b[at:], []byte(batchMagic))
		if next < 0 {
			return mark
		}
		at = (at + next) / align * align
		if f, err := decodeFrame(b[at:], h, pos+uint32(at)); err == nil {
			mark = max(mark, f.synced)
		}
		if at+align > len(b) {
			return mark
		}
	}
}

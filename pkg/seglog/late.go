package seglog

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// A beginning is the first segment of a run, for which there is no room yet.
type beginning struct {
	header header
	tail   *tail
	// stand stands in for the segment in the index: the tail, where recovery
	// found it.
	stand *segment
}

// Interim returns the epoch of a run that comes next and begins without anything on
// the disk, for want of room: every start that finds the same names its run the same,
// and any later one can tell what it was. It gives no offset before it has begun.
func (r Run) Interim() uint64 {
	var b [16]byte
	le.PutUint64(b[:], r.Epoch)
	le.PutUint64(b[8:], r.Last)
	sum := sha256.Sum256(b[:])
	return le.Uint64(sum[:])
}

// wait puts off the beginning of the run until Repair finds room for it. The
// tail is read where it is until then; a start after this one finds what this one
// found.
func (l *Log) wait(h *header, t *tail, full error) error {
	n := len(l.runs)
	l.runs[n-1].Epoch = l.runs[n-2].Interim() // of h, too
	last := l.segs[len(l.segs)-1]
	if err := l.overwrite(last, t); err != nil {
		return err
	}
	file, err := l.fs.Open(last.name, false)
	if err != nil {
		return err
	}
	last.broken = true // it must not be cut behind its end, where the tail is
	s := &segment{header: last.header, name: last.name, file: file, headerCRC: last.headerCRC, broken: true, first: h.prevEnd, end: h.prevEnd}
	s.refs.Store(1)
	l.segs = append(l.segs, s)
	l.active = s
	if err := l.indexTail(s, s.end, t); err != nil {
		return err
	}
	for i := range t.batches {
		s.end += uint32(t.batches[i].frame.whole)
	}
	l.waiting, l.failed = &beginning{*h, t, s}, full
	return nil
}

// overwrite makes the tail durable where it stands. It may be in the page cache
// alone, where another process failed to sync it and no sync would write it now, so
// the same bytes are written over it. Those cannot tear: wherever a crash
// interrupts it, each byte is what it was on the disk or what it was in the cache.
// Where even that takes room (a file system that copies on write) the sync that
// recovery did has to do.
func (l *Log) overwrite(s *segment, t *tail) error {
	for i := range t.batches {
		b := &t.batches[i]
		f := b.frame
		f.salt = s.salt
		_, err := s.file.WriteAt(sealFrame(b.content, &f, f.count), int64(f.pos))
		if errors.Is(full(err), ErrFull) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", l.fs.Path(s.name), err)
		}
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.fs.Path(s.name), err)
	}
	return nil
}

// beginLate begins the run.
func (l *Log) beginLate() error {
	w := l.waiting
	seg, err := l.createWith(&w.header, w.tail)
	if err != nil {
		return err
	}
	if err := l.replace([]*segment{w.stand}, seg); err != nil {
		seg.release()
		return err
	}
	w.stand.release()
	l.mu.Lock()
	l.active = seg
	before := l.segs[len(l.segs)-2]
	l.mu.Unlock()
	l.failed, l.waiting = nil, nil
	l.worker.seal(before)
	return nil
}

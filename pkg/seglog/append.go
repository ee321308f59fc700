package seglog

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

var (
	// ErrFull says that the disk has no room for another segment. Nothing was
	// written; it may be tried again.
	ErrFull = errors.New("the disk is full")
	// ErrTooLarge says that a batch or a key is above its limit. Nothing was
	// written.
	ErrTooLarge = errors.New("too large to be stored")
)

// Append writes b and returns when it is durable and in the index. urgent is set
// for what may use the last of the room that a full disk has left.
//
// ErrFull, ErrTooLarge: nothing was written. Any other error: it is not known
// whether b is durable; the log takes b over, takes nothing more, and Repair tries
// to make it durable. While Failed is set, it returns that and leaves b alone.
func (l *Log) Append(b *Batch, urgent bool) error {
	if urgent {
		return l.append(b, urgently)
	}
	return l.append(b, ordinary)
}

func (l *Log) append(b *Batch, u urgency) error {
	if l.failed != nil {
		return l.failed
	}
	b.begin()
	switch {
	case b.err != nil:
		return b.err
	case len(b.buf)-batchHeader > MaxBatch:
		return fmt.Errorf("%w: a batch has %d bytes; the limit is %d", ErrTooLarge, len(b.buf)-batchHeader, MaxBatch)
	}
	need := uint32(len(b.buf) + padding(len(b.buf)))
	if !l.fits(b, need) {
		return l.roll(b, u)
	}
	if u == ordinary && (l.active.reserved != nil || l.active.capacity-l.active.end < need+l.reserve()) && !l.worker.hasSpare() {
		return ErrFull
	}
	pos := l.active.end
	b.seal(l.frame(b, pos))
	if err := l.write(b.buf, pos); err != nil {
		l.fail(b, err)
		return l.failed
	}
	l.committed(b, pos)
	if l.active.end > l.active.capacity/4 {
		l.worker.wantSpare()
	}
	return nil
}

// Final appends an empty batch that says that the log was closed: everything
// before it was synced.
func (l *Log) Final() error {
	return l.Append(&Batch{Ceiling: l.ceiling, flags: flagFinal}, true)
}

// reserve is what is left of a segment for urgent batches when there is no other.
func (l *Log) reserve() uint32 { return l.active.capacity / 8 }

// fits reports whether the active segment takes b.
func (l *Log) fits(b *Batch, need uint32) bool {
	if need > l.active.capacity-l.active.end {
		return false
	}
	if len(b.metas) == 0 {
		return true
	}
	last := &b.metas[len(b.metas)-1].record
	return l.active.canIndex(last.Offset, last.Time)
}

// frame returns the header of b at pos of the active segment, all before which is
// synced.
func (l *Log) frame(b *Batch, pos uint32) *frame {
	return &frame{
		flags: b.flags, epoch: l.runs[len(l.runs)-1].Epoch, seq: l.active.seq, salt: l.active.salt, oldest: l.Oldest(),
		pos: pos, synced: pos, ceiling: max(l.ceiling, b.Ceiling),
	}
}

func (l *Log) write(b []byte, pos uint32) error {
	if _, err := l.active.file.WriteAt(b, int64(pos)); err != nil {
		return fmt.Errorf("write %s: %w", l.fs.Path(l.active.name), err)
	}
	if err := l.active.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.fs.Path(l.active.name), err)
	}
	return nil
}

// fail ends the use of the active segment. b is kept for Repair.
func (l *Log) fail(b *Batch, err error) {
	l.failed = err
	l.active.broken = true
	held := *b
	l.held, *b = &held, Batch{}
}

// committed notes that b is durable at pos of the active segment.
func (l *Log) committed(b *Batch, pos uint32) {
	l.ceiling = max(l.ceiling, b.Ceiling)
	l.mu.Lock()
	for i := range b.metas {
		m := &b.metas[i]
		l.active.index(m.stream, &m.record, pos+m.at)
	}
	l.active.end = pos + uint32(len(b.buf))
	l.mu.Unlock()
	l.ckpt.since += int64(len(b.buf))
}

// roll makes a new segment whose first batch is b. Where there is no room for
// it nothing has happened.
func (l *Log) roll(b *Batch, u urgency) error {
	err := l.newSegment(b, u)
	if err == nil || errors.Is(err, ErrFull) {
		return err
	}
	l.fail(b, err)
	return l.failed
}

// Repair makes a new segment for what could not be written to the failed one,
// and the log takes batches again. The old one ends at its last good sync. A run
// for which there was no room begins.
func (l *Log) Repair() error {
	switch {
	case l.failed == nil:
		return nil
	case l.waiting != nil:
		return l.beginLate()
	}
	if err := l.newSegment(l.held, ordinary); err != nil {
		return err
	}
	l.failed, l.held = nil, nil
	return nil
}

// newSegment makes the next segment with b as its first batch, b being durable
// when the segment is.
func (l *Log) newSegment(b *Batch, u urgency) error {
	old := l.active
	h := header{
		seq: old.through + 1, through: old.through + 1, prevEnd: old.end,
		next: max(l.ceiling, b.Ceiling) + 1, oldest: l.Oldest(), salt: newSalt(), runs: l.runs,
	}
	pos := uint32(h.size())
	f := l.frame(b, pos)
	f.seq, f.salt = h.seq, h.salt
	b.seal(f)
	seg, err := l.create(&h, b.buf, u)
	if err != nil {
		return err
	}
	l.adopt(seg, pos)
	l.committed(b, pos)
	return nil
}

// adopt makes seg the active segment; its batches begin at pos.
func (l *Log) adopt(seg *segment, pos uint32) {
	old := l.active
	seg.end = pos
	l.mu.Lock()
	l.segs = append(l.segs, seg)
	l.active = seg
	l.mu.Unlock()
	if old != nil {
		l.worker.seal(old)
	}
}

// create makes the file of a segment: h, and content behind it. It is durable
// when create returns.
func (l *Log) create(h *header, content []byte, u urgency) (*segment, error) {
	need := uint32(h.size() + len(content) + batchHeader)
	blank, err := l.blank(need, u)
	if err != nil {
		return nil, err
	}
	h.capacity = blank.capacity
	head := h.encode()
	if err := l.publishFile(blank.file, blank.name, segName(h.seq), append(head, content...)); err != nil {
		l.discard(blank.file, blank.name)
		return nil, err
	}
	s := &segment{header: *h, name: segName(h.seq), file: blank.file, headerCRC: le.Uint32(head[8:]), reserved: blank.reserved}
	s.refs.Store(1)
	return s, nil
}

// errNamed says that a file has its name, but that a crash may take that back.
var errNamed = errors.New("the file has its name, and may lose it again")

// writeFile makes a durable file with that content, or leaves the one that was
// there; with errNamed it may be either.
func (l *Log) writeFile(name string, content []byte) (vfs.File, error) {
	tmp := name + ".tmp"
	f, err := l.fs.Create(tmp)
	if err != nil {
		return nil, full(fmt.Errorf("create %s: %w", l.fs.Path(tmp), err))
	}
	if err := l.publishFile(f, tmp, name, content); err != nil {
		l.discard(f, tmp)
		return nil, full(err)
	}
	return f, nil
}

// publishFile writes content to the beginning of file and gives it its name.
func (l *Log) publishFile(file vfs.File, tmp, name string, content []byte) error {
	if _, err := file.WriteAt(content, 0); err != nil {
		return fmt.Errorf("write %s: %w", l.fs.Path(tmp), err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.fs.Path(tmp), err)
	}
	if err := l.fs.Rename(tmp, name); err != nil {
		return fmt.Errorf("rename %s: %w", l.fs.Path(tmp), err)
	}
	if err := l.fs.SyncDir(); err != nil {
		return fmt.Errorf("sync %s: %w: %w", l.fs.Path("."), errNamed, err)
	}
	return nil
}

func newSalt() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return le.Uint32(b[:])
}

// Oldest returns the number of the oldest segment that may be needed.
func (l *Log) Oldest() uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.oldest
}

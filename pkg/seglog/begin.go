package seglog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// cleanUp removes what nothing refers to. The folder is synced before anything
// is served, so that no name can change back.
func (l *Log) cleanUp(names []string) error {
	for _, name := range names {
		if !l.stray(name) {
			continue
		}
		if err := l.fs.Remove(name); err != nil {
			return fmt.Errorf("remove %s: %w", l.fs.Path(name), err)
		}
	}
	if err := l.fs.SyncDir(); err != nil {
		return fmt.Errorf("sync %s: %w", l.fs.Path("."), err)
	}
	return nil
}

// stray reports whether a file is ours and not needed.
func (l *Log) stray(name string) bool {
	if strings.HasSuffix(name, ".tmp") {
		return true
	}
	seq, ok := parseName(name, ".seg")
	if !ok {
		if seq, ok = parseName(name, ".idx"); !ok {
			return false
		}
	}
	return !slices.ContainsFunc(l.segs, func(s *segment) bool { return s.seq == seq })
}

// begin starts the run in a new segment, which takes over the tail.
func (l *Log) begin(t *tail) error {
	next := l.ceiling + 1
	if t.torn {
		next += tornSkip
	}
	h := header{seq: 1, through: 1, oldest: max(1, l.oldest), salt: newSalt()}
	if n := len(l.segs); n > 0 {
		last := l.segs[n-1]
		h.seq, h.through = last.through+1, last.through+1
		h.prevEnd = t.synced
	}
	l.oldest = h.oldest
	l.endRuns(Run{Epoch: l.opts.Epoch, First: next})
	h.runs, h.next = l.runs, next
	err := l.createFirst(&h, t)
	if errors.Is(err, ErrFull) && len(l.segs) > 0 {
		return l.wait(&h, t, err)
	}
	return err
}

// endRuns closes the last run and adds one.
func (l *Log) endRuns(run Run) {
	if n := len(l.segs); n > 0 {
		l.runs = slices.Clone(l.segs[n-1].runs)
	}
	if n := len(l.runs); n > 0 && l.runs[n-1].Last == 0 {
		l.runs[n-1].Last = l.ceiling
	}
	l.runs = append(l.runs, run)
	l.runs = l.runs[max(0, len(l.runs)-MaxRuns):]
	l.ceiling = run.First
}

// createFirst makes the run's first segment; the tail's batches are its first.
func (l *Log) createFirst(h *header, t *tail) error {
	seg, err := l.createWith(h, t)
	if err != nil {
		return err
	}
	end := seg.end
	l.adopt(seg, uint32(h.size()))
	if err := l.indexTail(seg, seg.end, t); err != nil {
		return err
	}
	seg.end = end
	if n := len(l.segs); n > 1 {
		l.worker.seal(l.segs[n-2])
	}
	return nil
}

// createWith makes the file of a segment that begins with the tail's batches.
func (l *Log) createWith(h *header, t *tail) (*segment, error) {
	pos := uint32(h.size())
	var content []byte
	for i := range t.batches {
		b := &t.batches[i]
		f := b.frame
		f.seq, f.salt = h.seq, h.salt
		f.pos = pos + uint32(len(content))
		f.synced = pos
		content = append(content, sealFrame(b.content, &f, f.count)...)
	}
	seg, err := l.create(h, content, freeing)
	if err != nil {
		return nil, fmt.Errorf("begin a segment: %w", err)
	}
	seg.end = pos + uint32(len(content))
	return seg, nil
}

// indexTail indexes the tail's batches as they stand in seg from pos on.
func (l *Log) indexTail(seg *segment, pos uint32, t *tail) error {
	for i := range t.batches {
		b := &t.batches[i]
		f := b.frame
		f.pos = pos
		if err := l.indexPayload(seg, &f, b.content[batchHeader:batchHeader+f.length]); err != nil {
			return err
		}
		pos += uint32(f.whole)
	}
	return nil
}

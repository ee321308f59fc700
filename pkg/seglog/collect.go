package seglog

import (
	"errors"
	"slices"
)

// sparse is the share of a segment's records, one in so many, below which it is
// rewritten.
const sparse = 4

// mergeFrom is from how many small segments in a row on they are made one.
const mergeFrom = 8

// HasRoom reports whether there is room for more than urgent batches; it tries to
// make some.
func (l *Log) HasRoom() bool {
	return l.failed == nil && l.worker.hasSpare()
}

// Collect frees the disk space of segments that hold nothing wanted any more, or
// little; the removing and rewriting is done in the background. Only what both
// checkpoints cover goes. It may append a batch, and fails as Append does.
func (l *Log) Collect() error {
	if l.failed != nil || !l.worker.idle() {
		return nil
	}
	mark, ok := l.olderMark()
	if !ok {
		return nil
	}
	to := l.removable(mark)
	if err := l.permit(to); err != nil {
		return err
	}
	if gone := l.detach(to); len(gone) > 0 {
		l.worker.do(func() { l.unlink(gone) })
	}
	if run := l.sparseRun(mark); len(run) > 0 && l.worker.idle() && !l.astray.Load() {
		l.worker.do(func() {
			if err := l.rewrite(run); err != nil {
				what := "a segment with little left in it could not be rewritten"
				if l.astray.Load() {
					what += "; none is until the next start"
				}
				l.log.WithError(err).WithField("segment", run[0].name).Warn(what)
			}
		})
	}
	return nil
}

// Stuck reports whether a segment holds little that is wanted, and stays as it is
// only because the checkpoints do not cover it yet.
func (l *Log) Stuck() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m, _ := l.ckpt.older()
	return slices.ContainsFunc(l.segs, func(s *segment) bool {
		return s != l.active && s.through >= m.seq && s.live*sparse <= s.total
	})
}

// permit makes durable that segments below a number may be missing. Until it is
// none of them may go.
func (l *Log) permit(to uint32) error {
	before := l.Oldest()
	if to <= before {
		return nil
	}
	l.setOldest(to)
	err := l.append(&Batch{Ceiling: l.ceiling}, freeing)
	if errors.Is(err, ErrFull) { // nothing was written
		l.setOldest(before)
	}
	return err
}

func (l *Log) setOldest(to uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.oldest = to
}

func (l *Log) olderMark() (mark, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ckpt.older()
}

// removable returns below which number nothing is wanted; 0 if there is nothing.
// That may be below the oldest: a crash keeps segments from being removed.
func (l *Log) removable(m mark) (to uint32) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.segs {
		if s.live > 0 || s.through >= m.seq || s == l.active {
			break
		}
		to = s.through + 1
	}
	return to
}

// detach takes the segments below a number out of the log.
func (l *Log) detach(below uint32) []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.segs) && l.segs[n].through < below {
		n++
	}
	gone := l.segs[:n:n]
	l.segs = slices.Clone(l.segs[n:])
	l.removed += len(gone)
	return gone
}

func (l *Log) unlink(gone []*segment) {
	for _, s := range gone {
		if err := l.fs.Remove(s.name); err != nil {
			l.log.WithError(err).WithField("segment", s.name).Warn("a segment could not be removed")
		}
		if s.idx != nil {
			if err := l.fs.Remove(idxName(s.seq)); err != nil {
				l.log.WithError(err).WithField("segment", s.name).Warn("an index could not be removed")
			}
		}
		s.release()
	}
}

// sparseRun returns segments that stand side by side and are worth being
// rewritten into one.
func (l *Log) sparseRun(m mark) []*segment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var run []*segment
	for _, s := range l.segs {
		small := s.through < m.seq && s != l.active && l.small(s)
		if small && l.joins(run, s) {
			run = append(run, s)
			continue
		}
		if worth(run) {
			return run
		}
		if run = nil; small {
			run = []*segment{s}
		}
	}
	if worth(run) {
		return run
	}
	return nil
}

// joins reports whether one segment can take what is wanted of a run and of s.
func (l *Log) joins(run []*segment, s *segment) bool {
	size := s.left()
	based := false
	for _, r := range run {
		size += r.left()
		if r.based && !based { // its base will be that of all
			based = true
			if s.based && !r.canIndex(s.last, s.lastTime) {
				return false
			}
		}
	}
	return size <= l.opts.SegmentSize
}

// small reports whether little of s is wanted, or little is in it.
func (l *Log) small(s *segment) bool {
	return s.live*sparse <= s.total || s.end < l.opts.SegmentSize/16
}

// left estimates how many bytes of s are wanted.
func (s *segment) left() uint32 {
	if s.total == 0 {
		return 0
	}
	return uint32(uint64(s.end) * uint64(s.live) / uint64(s.total))
}

// worth reports whether rewriting a run frees more than it costs.
func worth(run []*segment) bool {
	if len(run) >= mergeFrom {
		return true
	}
	return slices.ContainsFunc(run, func(s *segment) bool {
		return s.live*sparse <= s.total && s.end-s.left() > uint32(2*s.header.size())
	})
}

package seglog

import (
	"errors"
	"fmt"
	"math"
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
	if run := l.sparseRun(mark); len(run) > 0 && l.worker.idle() {
		l.worker.do(func() {
			if err := l.rewrite(run); err != nil {
				l.log.WithError(err).WithField("segment", run[0].name).Warn("a segment with little left in it could not be rewritten")
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

// rewrite replaces the run by one segment with what is wanted of it.
func (l *Log) rewrite(run []*segment) error {
	first := run[0]
	h := header{seq: first.seq, prevEnd: first.prevEnd, next: first.next, oldest: first.oldest, salt: newSalt()}
	content, n, err := l.wanted(run, &h)
	if err != nil {
		return err
	}
	run = run[:n]
	h.through = run[n-1].through
	h.end = uint32(h.size() + len(content))
	h.capacity = h.end
	head := h.encode()
	file, err := l.writeFile(first.name, append(head, content...))
	if err != nil {
		return err
	}
	s := &segment{header: h, name: first.name, file: file, headerCRC: le.Uint32(head[8:]), end: h.end}
	s.refs.Store(1)
	if err := l.replace(run, s); err != nil {
		return err
	}
	for _, old := range run[1:] {
		l.unlink([]*segment{old})
	}
	first.release()
	l.worker.seal(s)
	return nil
}

// wanted returns the batches of the first n segments of a run, with what is wanted
// of their records, as they stand in the segment that h begins. n is what fits into
// one segment; how much is wanted was only estimated.
func (l *Log) wanted(run []*segment, h *header) (content []byte, n int, err error) {
	floors := map[string]uint64{}
	for i, s := range run {
		before := len(content)
		at, err := scan(s, s.end, func(f *frame, payload []byte) error {
			batch, count, err := l.filter(payload, floors)
			if err != nil || count == 0 {
				return err
			}
			f.seq, f.salt = h.seq, h.salt
			f.pos = uint32(h.size() + len(content))
			f.synced = f.pos
			content = append(content, sealFrame(batch, f, count)...)
			return nil
		})
		if err != nil {
			return nil, 0, corrupt(l.fs, s, at, err)
		}
		if i > 0 && len(content) > int(l.opts.SegmentSize) {
			return content[:before], i, nil
		}
	}
	return content, len(run), nil
}

// filter returns a batch, its header still empty, of the records in a payload
// that are in a stream and above its floor. A floor is looked up once: if it rose
// on the way the stream would have a hole.
func (l *Log) filter(payload []byte, floors map[string]uint64) (batch []byte, count int, err error) {
	batch = make([]byte, batchHeader)
	at := 0
	err = eachRecord(payload, func(r Record, n int) error {
		floor, known := floors[r.Key]
		if !known {
			floor = l.floor(r.Key)
			floors[r.Key] = floor
		}
		if r.Offset > floor {
			batch = append(batch, payload[at:at+n]...)
			count++
		}
		at += n
		return nil
	})
	return batch, count, err
}

// floor returns the offset of the newest record of a stream that is gone; without
// such a stream all are.
func (l *Log) floor(key string) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if s := l.streams[key]; key != "" && s != nil {
		return s.floor
	}
	return math.MaxUint64
}

// replace puts s in the place of run, in the list and in all streams.
func (l *Log) replace(run []*segment, s *segment) error {
	built, err := l.build(s)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	touched := map[*Stream]bool{}
	for _, old := range run {
		for _, p := range old.parts {
			if l.streams[p.stream.key] == p.stream { // else it was forgotten
				touched[p.stream] = true
			}
		}
	}
	for st := range touched {
		st.exchange(run, built[st.key])
	}
	i := slices.Index(l.segs, run[0])
	l.segs = slices.Replace(slices.Clone(l.segs), i, i+len(run), s)
	return nil
}

// build indexes s, which nobody else knows yet, in streams of its own.
func (l *Log) build(s *segment) (map[string]*Stream, error) {
	built := map[string]*Stream{}
	_, err := scan(s, s.end, func(f *frame, payload []byte) error {
		at := f.pos + batchHeader
		return eachRecord(payload, func(r Record, n int) error {
			if r.Key != "" {
				b := built[r.Key]
				if b == nil {
					b = &Stream{log: l, key: r.Key}
					built[r.Key] = b
				}
				s.index(b, &r, at)
			}
			at += uint32(n)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read back %s: %w", s.name, err)
	}
	return built, nil
}

// exchange puts what was built in the place of the parts of run. Log.mu is held.
func (st *Stream) exchange(run []*segment, built *Stream) {
	of := func(p *part) bool { return slices.Contains(run, p.seg) }
	at := slices.IndexFunc(st.parts, of)
	parts := slices.DeleteFunc(slices.Clone(st.parts), of)
	if built != nil {
		p := built.parts[0]
		p.stream = st
		if at < 0 { // all of it was trimmed meanwhile
			p.seg.live -= int(p.count)
		} else {
			parts = slices.Insert(parts, at, p)
		}
	}
	st.parts = parts
	if at != 0 {
		return
	}
	st.head, st.skip = nil, 0
	if built != nil { // what was trimmed meanwhile is in it
		p := parts[0]
		for st.skip < p.count && p.seg.base+uint64(p.entries[st.skip].offset) <= st.floor {
			st.skip++
			p.seg.live--
		}
	}
}

package seglog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// recover reads what is in the folder, as FORMAT.md says, and begins the run. It
// changes nothing before all of it turned out to be sound.
func (l *Log) recover() error {
	names, err := l.fs.List()
	if err != nil {
		return fmt.Errorf("list %s: %w", l.fs.Path("."), err)
	}
	tail, err := l.examine(names)
	if err != nil {
		return err
	}
	if err := l.cleanUp(names); err != nil {
		return err
	}
	return l.begin(tail)
}

// examine reads all that is to be known before anything may be changed.
func (l *Log) examine(names []string) (*tail, error) {
	if err := l.openSegments(names); err != nil {
		return nil, err
	}
	if err := l.loadCheckpoints(names); err != nil {
		return nil, err
	}
	tail, err := l.readSegments()
	if err != nil {
		return nil, err
	}
	return tail, l.checkComplete()
}

// openSegments opens all segments and checks that none is missing.
func (l *Log) openSegments(names []string) error {
	var seqs []uint32
	for _, name := range names {
		if seq, ok := parseName(name, ".seg"); ok {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	hole, from := uint32(0), 0 // the newest missing one, and the first after it
	for _, seq := range seqs {
		covered := seq - 1
		if n := len(l.segs); n > 0 {
			covered = l.segs[n-1].through
		}
		if seq <= covered {
			continue // merged into one before it
		}
		if seq > covered+1 {
			hole, from = covered+1, len(l.segs)
		}
		s, err := openSegment(l.fs, seq, !l.view)
		if err != nil {
			return err
		}
		l.segs = append(l.segs, s)
		l.oldest = max(l.oldest, s.oldest)
	}
	if hole == 0 {
		return nil
	}
	return l.dropBefore(from, hole)
}

// dropBefore lets go of the segments before a missing one, if the log says that
// they may be removed: the power went while they were.
func (l *Log) dropBefore(from int, hole uint32) error {
	newest := l.segs[len(l.segs)-1]
	_, _ = scan(newest, newest.capacity, func(f *frame, _ []byte) error { // judged later
		l.oldest = max(l.oldest, f.oldest)
		return nil
	})
	if l.oldest <= hole {
		return &CorruptError{l.fs.Path(segName(hole)), 0, errMissing}
	}
	for _, s := range l.segs[:from] {
		s.release()
	}
	l.segs = slices.Clone(l.segs[from:])
	return nil
}

// readSegments finds the end of every segment and indexes it. It returns the
// newest one's tail.
func (l *Log) readSegments() (*tail, error) {
	unverified := l.opts.VerifyBytes
	for i := len(l.segs) - 1; i >= 0; i-- { // ends first: the newest says where the others end
		s := l.segs[i]
		if i == len(l.segs)-1 {
			continue
		}
		s.end = l.segs[i+1].prevEnd
		if s.header.end != 0 {
			s.end = s.header.end
		}
		if err := s.holds(l.fs, s.end); err != nil {
			return nil, err
		}
	}
	verify := make([]bool, len(l.segs))
	for i := len(l.segs) - 2; i >= 0; i-- {
		verify[i] = unverified > 0
		unverified -= int64(l.segs[i].end)
	}
	for i, s := range l.segs[:max(0, len(l.segs)-1)] {
		if err := l.readSealed(s, verify[i]); err != nil {
			return nil, err
		}
	}
	if len(l.segs) == 0 {
		return &tail{}, nil
	}
	return l.readNewest(l.segs[len(l.segs)-1])
}

// holds checks that the segment's file is not shorter than size.
func (s *segment) holds(dir vfs.FS, size uint32) error {
	have, err := s.file.Size()
	if err != nil {
		return err
	}
	if have < int64(size) || size < uint32(s.header.size()) {
		return &CorruptError{dir.Path(s.name), have, fmt.Errorf("the file has %d bytes, %d belong to it", have, size)}
	}
	return nil
}

// readSealed indexes a segment that is not the newest: from its index file, or
// by reading it, which also checks it.
func (l *Log) readSealed(s *segment, verify bool) error {
	streams, err := readIndex(l.fs, s)
	if err == nil {
		for i := range streams {
			l.addIndexed(&streams[i])
		}
		if !verify {
			return nil
		}
	}
	indexed := err == nil
	end, err := scan(s, s.end, func(f *frame, payload []byte) error {
		l.noteFrame(f)
		if indexed {
			return nil
		}
		return l.indexPayload(s, f, payload)
	})
	if err == nil && end != s.end {
		err = errNoBatch
	}
	if err != nil {
		return corrupt(l.fs, s, end, err)
	}
	if !indexed && s.total > 0 {
		l.worker.seal(s)
	}
	return nil
}

// corrupt returns err as a CorruptError if it says that something is damaged.
func corrupt(dir vfs.FS, s *segment, at uint32, err error) error {
	if errors.Is(err, errNoBatch) || errors.Is(err, errBadBatch) || errors.Is(err, errBadRecord) {
		return &CorruptError{dir.Path(s.name), int64(at), err}
	}
	return fmt.Errorf("read %s: %w", dir.Path(s.name), err)
}

func (l *Log) addIndexed(in *indexed) {
	st := l.stream(in.key)
	p := in.part
	p.stream = st
	st.addPart(&p)
	st.last = max(st.last, p.last)
	st.count += int(p.count)
	st.bytes += p.bytes
	p.seg.parts = append(p.seg.parts, &p)
	p.seg.total += int(p.count)
	p.seg.live += int(p.count)
	p.seg.last, p.seg.lastTime = max(p.seg.last, p.last), max(p.seg.lastTime, p.lastTime)
}

func (l *Log) noteFrame(f *frame) {
	l.ceiling = max(l.ceiling, f.ceiling)
	l.oldest = max(l.oldest, f.oldest)
}

// indexPayload adds a batch's records to the index.
func (l *Log) indexPayload(s *segment, f *frame, payload []byte) error {
	at := f.pos + batchHeader
	return eachRecord(payload, func(r Record, n int) error {
		if r.Key != "" {
			s.index(l.stream(r.Key), &r, at)
		}
		at += uint32(n)
		return nil
	})
}

// eachRecord calls do for each record of a payload, with its length.
func eachRecord(payload []byte, do func(r Record, n int) error) error {
	for len(payload) > 0 {
		r, n, err := decodeRecord(payload)
		if err != nil {
			return err
		}
		if err := do(r, n); err != nil {
			return err
		}
		payload = payload[n:]
	}
	return nil
}

// checkComplete checks that nothing is missing in front: all from the oldest on
// are there, and what is gone is covered by a checkpoint.
func (l *Log) checkComplete() error {
	if len(l.segs) == 0 {
		return nil
	}
	first := l.segs[0].seq
	if first > max(1, l.oldest) {
		return &CorruptError{l.fs.Path(segName(max(1, l.oldest))), 0, errMissing}
	}
	last := l.segs[len(l.segs)-1]
	for _, c := range l.ckpt.slots {
		if c != nil && c.mark.seq > last.through {
			return &CorruptError{l.fs.Path(segName(last.through + 1)), 0, errMissing}
		}
	}
	rewritten := slices.ContainsFunc(l.segs, func(s *segment) bool { return s.header.end != 0 })
	if l.ckpt.newest == nil && (first > 1 || rewritten) {
		return &CorruptError{l.fs.Path(checkpointNames[0]), 0, errors.New("no checkpoint is intact, but the log's beginning was removed already")}
	}
	return nil
}

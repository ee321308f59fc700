package seglog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A Report is what Check found.
type Report struct {
	Segments, Batches, Records int
	Bytes                      int64 // of batches

	// Refused is why Open would refuse the folder; nil if it would not.
	Refused error
	// Damage is every damaged place, in the order of the files.
	Damage []*CorruptError
	// Mended is damage that Open mends by itself: of an index, or of one of two
	// checkpoints.
	Mended []*CorruptError
	// Torn says that the newest segment ends in something that was being written
	// when the log ended. Open leaves it out.
	Torn bool
}

// Check reads all of the log in a folder and calls each for every intact record, in
// order, also for those behind damage and for those that were trimmed but are still
// there. It changes nothing. The error is of the system, or of each; ErrLocked of
// package vfs if a log is open there.
func Check(dir vfs.FS, log logrus.FieldLogger, each func(*Record) error) (*Report, error) {
	lock, err := dir.Lock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir.Path("lock"), err)
	}
	defer lock.Close()
	names, err := dir.List()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir.Path("."), err)
	}
	c := &checker{dir: dir, each: each}
	if err := c.judge(log, names); err != nil {
		return nil, err
	}
	if err := c.walk(names); err != nil {
		return nil, err
	}
	return &c.report, c.checkpoints(names)
}

// A checker is one Check.
type checker struct {
	dir    vfs.FS
	each   func(*Record) error
	report Report
}

// judge finds out whether Open would take the folder, if it checked everything.
func (c *checker) judge(log logrus.FieldLogger, names []string) error {
	l := &Log{view: true, opts: Options{FS: c.dir, Epoch: 1, Logger: log, VerifyBytes: 1 << 62}, streams: map[string]*Stream{}}
	if err := l.opts.defaults(); err != nil {
		return err
	}
	l.fs, l.log = c.dir, l.opts.Logger
	defer l.closeFiles()
	t, err := l.examine(names)
	if err != nil {
		if damage, ok := errors.AsType[*CorruptError](err); ok {
			c.report.Refused = damage
			return nil
		}
		return err
	}
	c.report.Torn = t.torn
	return nil
}

// walk reads all segments, whatever is wrong with some.
func (c *checker) walk(names []string) error {
	var segs []*segment
	defer func() {
		for _, s := range segs {
			s.release()
		}
	}()
	covered := uint32(0)
	for _, name := range names {
		seq, ok := parseName(name, ".seg")
		if !ok || seq <= covered {
			continue
		}
		s, err := openSegment(c.dir, seq, false)
		if damage, ok := errors.AsType[*CorruptError](err); ok {
			c.report.Damage = append(c.report.Damage, damage)
			continue
		}
		if err != nil {
			return err
		}
		segs, covered = append(segs, s), s.through
	}
	for i, s := range segs {
		var next *segment
		if i+1 < len(segs) {
			next = segs[i+1]
		}
		if err := c.segment(s, next, names); err != nil {
			return err
		}
	}
	return nil
}

// segment reads one segment up to its end: its own, or what the next one says; the
// newest one's, or that of one whose successor cannot tell, is to be found.
func (c *checker) segment(s, next *segment, names []string) error {
	c.report.Segments++
	end, sure := s.header.end, s.header.end != 0
	if !sure && next != nil && next.seq == s.through+1 {
		end, sure = next.prevEnd, true
	}
	size, err := s.file.Size()
	if err != nil {
		return fmt.Errorf("read %s: %w", c.dir.Path(s.name), err)
	}
	if !sure {
		end = uint32(min(size, int64(s.capacity)))
	}
	if int64(end) > size {
		c.damage(s, uint32(size), fmt.Errorf("the file has %d bytes, %d belong to it", size, end))
		end = uint32(size)
	}
	if err := c.batches(s, end, sure); err != nil {
		return err
	}
	if s.end = end; sure && slices.Contains(names, idxName(s.seq)) {
		c.index(s)
	}
	return nil
}

func (c *checker) damage(s *segment, at uint32, reason error) {
	c.report.Damage = append(c.report.Damage, &CorruptError{c.dir.Path(s.name), int64(at), reason})
}

// batches reads the batches of s, and goes on behind each damaged one. What has no
// intact batch behind it, in a segment whose end is not known, is no damage: it is
// the end, or what was being written at the end.
func (c *checker) batches(s *segment, end uint32, sure bool) error {
	for pos := uint32(s.header.size()); pos < end; {
		at, err := scanFrom(s, pos, end, func(f *frame, payload []byte) error {
			c.report.Batches++
			c.report.Bytes += int64(f.whole)
			return c.records(s, f, payload)
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNoBatch) && !errors.Is(err, errBadBatch) {
			return fmt.Errorf("read %s: %w", c.dir.Path(s.name), err)
		}
		next, err2 := c.nextBatch(s, at, end)
		if err2 != nil {
			return err2
		}
		if sure || next < end {
			c.damage(s, at, err)
		}
		pos = next
	}
	return nil
}

// records hands on what is in an intact batch.
func (c *checker) records(s *segment, f *frame, payload []byte) error {
	at := f.pos + batchHeader
	for len(payload) > 0 {
		r, n, err := decodeRecord(payload)
		if err != nil {
			c.damage(s, at, err)
			return nil
		}
		c.report.Records++
		if err := c.each(&r); err != nil {
			return err
		}
		payload, at = payload[n:], at+uint32(n)
	}
	return nil
}

// nextBatch returns where the next intact header of a batch stands behind pos; end
// if there is none.
func (c *checker) nextBatch(s *segment, pos, end uint32) (uint32, error) {
	rest := make([]byte, end-pos)
	if err := readFull(s.file, rest, int64(pos)); err != nil {
		return 0, fmt.Errorf("read %s: %w", c.dir.Path(s.name), err)
	}
	for at := align; at < len(rest); at += align {
		if _, err := decodeFrame(rest[at:], &s.header, pos+uint32(at)); err == nil {
			return pos + uint32(at), nil
		}
	}
	return end, nil
}

// index looks whether the index of a full segment can be used.
func (c *checker) index(s *segment) {
	if _, err := readIndex(c.dir, s); err != nil {
		c.report.Mended = append(c.report.Mended, &CorruptError{c.dir.Path(idxName(s.seq)), 0, orEOF(err, errIndex)})
	}
}

// checkpoints looks whether both can be used.
func (c *checker) checkpoints(names []string) error {
	l := &Log{fs: c.dir}
	for _, name := range checkpointNames {
		if !slices.Contains(names, name) {
			continue
		}
		_, err := l.loadCheckpoint(name)
		switch {
		case errors.Is(err, errCheckpoint):
			c.report.Mended = append(c.report.Mended, &CorruptError{c.dir.Path(name), 0, errCheckpoint})
		case err != nil:
			return err
		}
	}
	return nil
}

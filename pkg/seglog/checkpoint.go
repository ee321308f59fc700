package seglog

import (
	"errors"
	"fmt"
	"slices"
)

const (
	ckptMagic = "orbitCKP"
	ckptFixed = 40
)

var checkpointNames = [2]string{"checkpoint.a", "checkpoint.b"}

// A mark is a place between two batches.
type mark struct{ seq, pos uint32 }

// A checkpoint is what its owner wants to know of everything before its mark.
type checkpoint struct {
	serial uint64
	mark   mark
	body   []byte
}

// checkpoints are the two on disk. Log.mu guards slots; newest belongs to the
// writer, or to the function that Checkpoint returned while that runs.
type checkpoints struct {
	slots  [2]*checkpoint // without their bodies, but for the newest at Open
	newest *checkpoint
	since  int64 // bytes appended since the newest
}

// older returns the mark before which both checkpoints know everything.
func (c *checkpoints) older() (mark, bool) {
	a, b := c.slots[0], c.slots[1]
	if a == nil || b == nil {
		return mark{}, false
	}
	if a.serial < b.serial {
		return a.mark, true
	}
	return b.mark, true
}

// covers returns up to where a checkpoint was taken of a segment.
func (c *checkpoints) covers(seq uint32) (pos uint32, ok bool) {
	for _, s := range c.slots {
		if s != nil && s.mark.seq == seq {
			pos, ok = max(pos, s.mark.pos), true
		}
	}
	return pos, ok
}

func (c *checkpoint) encode() []byte {
	b := make([]byte, ckptFixed, ckptFixed+len(c.body))
	copy(b, ckptMagic)
	le.PutUint32(b[12:], version)
	le.PutUint64(b[16:], c.serial)
	le.PutUint32(b[24:], c.mark.seq)
	le.PutUint32(b[28:], c.mark.pos)
	le.PutUint64(b[32:], uint64(len(c.body)))
	b = append(b, c.body...)
	le.PutUint32(b[8:], checksum(b[12:]))
	return b
}

var errCheckpoint = errors.New("the checkpoint is damaged")

func decodeCheckpoint(b []byte) (*checkpoint, error) {
	if len(b) < ckptFixed || string(b[:8]) != ckptMagic || le.Uint32(b[8:]) != checksum(b[12:]) {
		return nil, errCheckpoint
	}
	if v := le.Uint32(b[12:]); v != version {
		return nil, errVersion("checkpoint", v)
	}
	if le.Uint64(b[32:]) != uint64(len(b)-ckptFixed) {
		return nil, errCheckpoint
	}
	return &checkpoint{le.Uint64(b[16:]), mark{le.Uint32(b[24:]), le.Uint32(b[28:])}, b[ckptFixed:]}, nil
}

// loadCheckpoints reads both. A damaged one is not an error as long as the other
// is intact or everything can be replayed; see checkComplete.
func (l *Log) loadCheckpoints(names []string) error {
	for i, name := range checkpointNames {
		if !slices.Contains(names, name) {
			continue
		}
		c, err := l.loadCheckpoint(name)
		if errors.Is(err, errCheckpoint) {
			l.log.WithField("file", l.fs.Path(name)).Warn("a checkpoint is damaged; the other one is used")
			continue
		}
		if err != nil {
			return err
		}
		l.ckpt.slots[i] = c
		if l.ckpt.newest == nil || c.serial > l.ckpt.newest.serial {
			l.ckpt.newest = c
		}
	}
	return nil
}

func (l *Log) loadCheckpoint(name string) (*checkpoint, error) {
	f, err := l.fs.Open(name, false)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.fs.Path(name), err)
	}
	defer f.Close()
	b, err := readAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.fs.Path(name), orEOF(err, errCheckpoint))
	}
	c, err := decodeCheckpoint(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.fs.Path(name), err)
	}
	return c, nil
}

// Restore gives back the body of the newest checkpoint, nil if there is none,
// and then every record since, in order. It is for the time right after Open.
func (l *Log) Restore(body func([]byte) error, record func(*Record) error) error {
	from := mark{}
	if c := l.ckpt.newest; c != nil {
		if err := body(c.body); err != nil {
			return fmt.Errorf("restore the checkpoint: %w", err)
		}
		from, c.body = c.mark, nil
	}
	for _, s := range l.segs {
		if s.through < from.seq {
			continue
		}
		pos := max(s.first, uint32(s.header.size()))
		if s.seq == from.seq {
			pos = max(pos, from.pos)
		}
		if err := l.replay(s, pos, record); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) replay(s *segment, pos uint32, record func(*Record) error) error {
	at, err := scanFrom(s, pos, s.end, func(f *frame, payload []byte) error {
		l.ckpt.since += int64(len(payload))
		return eachRecord(payload, func(r Record, _ int) error { return record(&r) })
	})
	if err != nil {
		return corrupt(l.fs, s, at, err)
	}
	return nil
}

// SinceCheckpoint returns how many bytes a start would have to replay.
func (l *Log) SinceCheckpoint() int64 { return l.ckpt.since }

// Checkpoint stores body, which says all that is wanted of what was appended so
// far, in place of the older of the two. The returned function does the writing, on
// any goroutine; before it returned there must not be another Checkpoint.
func (l *Log) Checkpoint(body []byte) (write func() error) {
	c := &checkpoint{serial: 1, mark: mark{l.active.seq, l.active.end}, body: body}
	slot := 0
	if n := l.ckpt.newest; n != nil {
		c.serial = n.serial + 1
		if l.ckpt.slots[0] == n {
			slot = 1
		}
	}
	l.ckpt.since = 0
	return func() error {
		f, err := l.writeFile(checkpointNames[slot], c.encode())
		if err != nil {
			return err
		}
		f.Close()
		c.body = nil
		l.mu.Lock()
		l.ckpt.slots[slot], l.ckpt.newest = c, c
		l.mu.Unlock()
		return nil
	}
}

package seglog

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

const (
	newName   = "new.tmp"
	zeroChunk = 256 << 10

	// reservedSegment is the size of a segment that is made of the reserve, of
	// which checkpointRoom (or half, if that is less) stays for checkpoints.
	reservedSegment = 256 << 10
	checkpointRoom  = 64 << 20
)

// A blank is a file of zeros that becomes a segment.
type blank struct {
	file     vfs.File
	name     string
	capacity uint32
	reserved error // why it was made of the reserve
}

// An urgency says what a segment may be made of.
type urgency int

const (
	ordinary urgency = iota // of what is free beyond the reserve
	urgently                // of the reserve, without what checkpoints need
	freeing                 // of the last there is: it lets others go
)

// blank returns a file for a segment that needs that much room: the spare one, or
// one made now. Where there is no room it is the smaller the more urgent it is.
func (l *Log) blank(need uint32, u urgency) (*blank, error) {
	if sp := l.worker.takeSpare(); sp != nil {
		if sp.size >= need {
			return &blank{file: sp.file, name: sp.name, capacity: sp.size}, nil
		}
		l.discard(sp.file, sp.name)
	}
	b := &blank{name: newName}
	for _, try := range []struct {
		size  uint32
		leave uint64
	}{
		ordinary: {min(l.opts.SegmentSize, firstSegment), l.opts.MinFree},
		urgently: {min(l.opts.SegmentSize, reservedSegment), min(l.opts.MinFree/2, checkpointRoom)},
		freeing:  {need, 0},
	}[:u+1] {
		var err error
		b.capacity = max(need, try.size)
		if b.file, err = l.allocate(b.name, b.capacity, try.leave); err == nil {
			return b, nil
		}
		if b.reserved = err; !errors.Is(err, ErrFull) {
			break
		}
	}
	return nil, b.reserved
}

// nextSize is how large the segment after the active one is to be: they double
// up to full size, so that a small log stays small.
func (l *Log) nextSize() uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return min(2*max(l.active.capacity, firstSegment/2), l.opts.SegmentSize)
}

// allocate makes a file of zeros, all of it on disk, and leaves reserve free. Where
// the disk is full the error is ErrFull and the file is gone again.
func (l *Log) allocate(name string, size uint32, reserve uint64) (vfs.File, error) {
	if free, err := l.fs.Free(); err != nil {
		return nil, err
	} else if free < uint64(size)+reserve {
		return nil, fmt.Errorf("%w: %d bytes are free, %d are kept in reserve", ErrFull, free, reserve)
	}
	f, err := l.fs.Create(name)
	if err != nil {
		return nil, full(fmt.Errorf("create %s: %w", l.fs.Path(name), err))
	}
	if err := fill(f, size); err != nil {
		l.discard(f, name)
		return nil, full(fmt.Errorf("allocate %s: %w", l.fs.Path(name), err))
	}
	return f, nil
}

// discard removes a temporary file that is not wanted any more: what is left of
// it would take room until the next start.
func (l *Log) discard(f vfs.File, name string) {
	f.Close()
	if err := l.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.WithError(err).WithField("file", l.fs.Path(name)).Warn("a temporary file could not be removed")
	}
}

// full marks an error that says that the disk is full.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func fill(f vfs.File, size uint32) error {
	zeros := make([]byte, min(size, zeroChunk))
	for at := uint32(0); at < size; {
		n := min(size-at, uint32(len(zeros)))
		if _, err := f.WriteAt(zeros[:n], int64(at)); err != nil {
			return err
		}
		at += n
	}
	return f.Sync()
}

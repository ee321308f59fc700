package seglog

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

const (
	newName   = "new.tmp"
	zeroChunk = 256 << 10
)

// blank returns a file of zeros for a segment that needs that much room: the
// spare one, or one made now.
func (l *Log) blank(need uint32) (f vfs.File, name string, capacity uint32, err error) {
	if sp := l.worker.takeSpare(); sp != nil {
		if sp.size >= need {
			return sp.file, sp.name, sp.size, nil
		}
		sp.file.Close()
	}
	capacity = max(need, min(l.opts.SegmentSize, firstSegment))
	f, err = l.allocate(newName, capacity)
	return f, newName, capacity, err
}

// nextSize is how large the segment after the active one is to be: they double
// up to full size, so that a small log stays small.
func (l *Log) nextSize() uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return min(2*max(l.active.capacity, firstSegment/2), l.opts.SegmentSize)
}

// allocate makes a file of zeros, all of it on disk. Where the disk is full the
// error is ErrFull and the file is gone again.
func (l *Log) allocate(name string, size uint32) (vfs.File, error) {
	if free, err := l.fs.Free(); err != nil {
		return nil, err
	} else if free < uint64(size)+l.opts.MinFree {
		return nil, fmt.Errorf("%w: %d bytes are free, %d are kept in reserve", ErrFull, free, l.opts.MinFree)
	}
	f, err := l.fs.Create(name)
	if err != nil {
		return nil, full(fmt.Errorf("create %s: %w", l.fs.Path(name), err))
	}
	if err := fill(f, size); err != nil {
		f.Close()
		err = full(fmt.Errorf("allocate %s: %w", l.fs.Path(name), err))
		return nil, errors.Join(err, l.fs.Remove(name))
	}
	return f, nil
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

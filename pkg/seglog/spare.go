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

// blank returns a file for a segment that needs that much room: the spare one, or
// one made now. Where there is no room and the segment is urgent, it is made of the
// reserve, and small.
func (l *Log) blank(need uint32, urgent bool) (*blank, error) {
	if sp := l.worker.takeSpare(); sp != nil {
		if sp.size >= need {
			return &blank{file: sp.file, name: sp.name, capacity: sp.size}, nil
		}
		sp.file.Close()
	}
	b := &blank{name: newName, capacity: max(need, min(l.opts.SegmentSize, firstSegment))}
	var err error
	if b.file, err = l.allocate(b.name, b.capacity, l.opts.MinFree); err == nil || !urgent || !errors.Is(err, ErrFull) {
		return b, err
	}
	b.capacity, b.reserved = max(need, min(l.opts.SegmentSize, reservedSegment)), err
	b.file, err = l.allocate(b.name, b.capacity, min(l.opts.MinFree/2, checkpointRoom))
	return b, err
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

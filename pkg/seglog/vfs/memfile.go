package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// memFile is an open file of a Mem, whose mu guards it.
type memFile struct {
	fs     *Mem
	node   *inode
	write  bool
	closed bool
}

// usable returns the error of what is done with a closed file. fs.mu is held.
func (f *memFile) usable(what string) error {
	if f.closed {
		return fmt.Errorf("%s: %w", what, fs.ErrClosed)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("write"); err != nil {
		return 0, err
	}
	if !f.write {
		return 0, fmt.Errorf("write: %w", fs.ErrPermission)
	}
	if grow := off + int64(len(p)) - int64(len(f.node.data)); grow > 0 {
		if f.fs.space > 0 && f.fs.used()+grow > f.fs.space {
			return 0, syscall.ENOSPC
		}
		f.node.truncate(int(off) + len(p))
	}
	copy(f.node.data[off:], p)
	f.node.touch(int(off), int(off)+len(p))
	return len(p), nil
}

// touch notes that the bytes [from, to) are to be written by the next Sync.
func (n *inode) touch(from, to int) {
	for s := from / sector; s*sector < to; s++ {
		n.dirty[s] = true
	}
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("truncate"); err != nil {
		return err
	}
	if !f.write {
		return fmt.Errorf("truncate: %w", fs.ErrPermission)
	}
	f.node.truncate(int(size))
	return nil
}

func (n *inode) truncate(size int) {
	n.resize = n.resize || size != len(n.data)
	if size <= len(n.data) {
		n.data = n.data[:size:size]
		return
	}
	n.touch(len(n.data), size)
	n.data = append(n.data, make([]byte, size-len(n.data))...)
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("sync"); err != nil {
		return err
	}
	n := f.node
	n.synced = resize(n.synced, len(n.data))
	for s := range n.dirty {
		from := s * sector
		if to := min(from+sector, len(n.data)); from < to {
			copy(n.synced[from:to], n.data[from:to])
		}
	}
	clear(n.dirty)
	n.resize = false
	return nil
}

// failSync is what a failed sync leaves on Linux: the pages count as clean, so
// that no later Sync writes them, and yet everybody reads them until the power
// goes.
func (f *memFile) failSync() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	clear(f.node.dirty)
}

// resize returns b with a length of n; new bytes are zero.
func resize(b []byte, n int) []byte {
	if n <= len(b) {
		return b[:n:n]
	}
	return append(b, make([]byte, n-len(b))...)
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("size"); err != nil {
		return 0, err
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("close"); err != nil {
		return err
	}
	f.closed = true
	return nil
}

package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// memFile is an open file of a Mem, whose mu guards it.
type memFile struct {
	fs    *Mem
	node  *inode
	write bool
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
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
	if !f.write {
		return 0, fmt.Errorf("write: %w", fs.ErrPermission)
	}
	if grow := off + int64(len(p)) - int64(len(f.node.data)); grow > 0 {
		if f.fs.space > 0 && f.fs.used()+grow > f.fs.space {
			return 0, syscall.ENOSPC
		}
		f.node.data = append(f.node.data, make([]byte, grow)...)
		f.node.resize = true
	}
	copy(f.node.data[off:], p)
	if len(p) > 0 {
		for s := int(off) / sector; s <= (int(off)+len(p)-1)/sector; s++ {
			f.node.dirty[s] = true
		}
	}
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.truncate(int(size))
	return nil
}

func (n *inode) truncate(size int) {
	n.resize = n.resize || size != len(n.data)
	if size <= len(n.data) {
		n.data = n.data[:size:size]
		return
	}
	n.data = append(n.data, make([]byte, size-len(n.data))...)
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
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
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error { return nil }

package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// lockName is the file whose lock stands for the folder's.
const lockName = "lock"

type dir struct {
	path   string
	syncer atomic.Pointer[syncer] // while it is locked
}

// OpenDir returns the operating system's folder at path. It is made, with its
// parents, if there is none; only its owner may look into it.
func OpenDir(path string) (FS, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := syncParents(path); err != nil {
		return nil, err
	}
	return &dir{path: path}, nil
}

// syncParents makes durable that path is there: any of the folders above it may
// have been made just now, or by a process that was killed before it came to this.
// One that cannot be synced, as it is somebody else's or not to be written to, was
// there before us, and so were those above.
func syncParents(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	parent := filepath.Dir(path)
	if err := syncPath(parent); err != nil {
		return err
	}
	for parent != filepath.Dir(parent) {
		parent = filepath.Dir(parent)
		if syncPath(parent) != nil {
			break
		}
	}
	return nil
}

func (d *dir) Create(name string) (File, error) {
	f, err := os.OpenFile(d.Path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f, d}, nil
}

func (d *dir) Open(name string, write bool) (File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(d.Path(name), flag, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f, d}, nil
}

func (d *dir) Rename(from, to string) error { return os.Rename(d.Path(from), d.Path(to)) }
func (d *dir) Remove(name string) error     { return os.Remove(d.Path(name)) }
func (d *dir) Path(name string) string      { return filepath.Join(d.path, name) }
func (d *dir) SyncDir() error               { return syncPath(d.path) }

func (d *dir) List() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != lockName {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d *dir) Free() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Lock holds a flock, which the kernel gives back whatever way the process ends.
func (d *dir) Lock() (io.Closer, error) {
	f, err := os.OpenFile(d.Path(lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		return nil, err
	}
	if s, err := newSyncer(); err == nil { // else fdatasync does
		d.syncer.Store(s)
	}
	return folderLock{f, d}, nil
}

// flock locks a file at once, or closes it: the error is ErrLocked if another has it.
func flock(f *os.File, how int) error {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if err == nil {
		return nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return fmt.Errorf("lock %s: %w", f.Name(), err)
}

// A folderLock is a held lock.
type folderLock struct {
	*os.File
	folder *dir
}

func (l folderLock) Close() error {
	if s := l.folder.syncer.Swap(nil); s != nil {
		_ = s.Close()
	}
	return l.File.Close()
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

type osFile struct {
	*os.File
	folder *dir
}

// Sync leaves out times that nobody reads: fdatasync writes the content, and the
// size if it changed.
func (f osFile) Sync() error {
	if s := f.folder.syncer.Load(); s != nil {
		if err := s.sync(f.Fd()); err != errBusy {
			return err
		}
	}
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

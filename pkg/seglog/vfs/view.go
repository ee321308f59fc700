package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ViewDir returns a folder that is there, to be read and not to be changed: it may be
// on a file system that nobody can write to. Its lock is shared, and there is none to
// be had in a folder without the file for it, in which no log has been open since it
// was copied or restored: the file would be this user's, and not who opens one next's.
func ViewDir(path string) (FS, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return view{&dir{path: path}}, nil
}

// view is a folder that nothing is written to.
type view struct{ *dir }

func (v view) Lock() (io.Closer, error) {
	f, err := os.Open(v.Path(lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_SH); err != nil {
		return nil, err
	}
	return f, nil
}

func (v view) Create(name string) (File, error) { return nil, v.refuse("create", name) }
func (v view) Rename(from, _ string) error      { return v.refuse("rename", from) }
func (v view) Remove(name string) error         { return v.refuse("remove", name) }

func (v view) Open(name string, write bool) (File, error) {
	if write {
		return nil, v.refuse("open", name)
	}
	return v.dir.Open(name, false)
}

func (v view) refuse(op, name string) error {
	return &fs.PathError{Op: op, Path: v.Path(name), Err: unix.EROFS}
}

package vfs

import (
	"errors"
	"io"
)

// ErrLocked is returned by FS.Lock while somebody else holds the lock.
var ErrLocked = errors.New("locked by another process")

// An FS is one folder. Names have no slashes. All methods may be called
// concurrently. What a method did survives a crash only after Sync: that of the
// file for its content, SyncDir for the names.
type FS interface {
	// Create makes an empty file that is open for reading and writing. An older
	// file of that name is emptied.
	Create(name string) (File, error)
	// Open opens an existing file for reading, and for writing if write is set.
	// The error is fs.ErrNotExist if there is none.
	Open(name string, write bool) (File, error)
	// Rename gives a file a new name, in place of what had it.
	Rename(from, to string) error
	// Remove removes a name. An open file stays readable.
	Remove(name string) error
	// List returns all names, in order.
	List() ([]string, error)
	// SyncDir makes all names durable as they are.
	SyncDir() error
	// Free returns how many bytes the file system has left for us.
	Free() (uint64, error)
	// Lock takes the folder for this process until the closer is closed. The
	// error is ErrLocked if somebody else has it.
	Lock() (io.Closer, error)
	// Path returns a name as a person would look for it.
	Path(name string) string
}

// A File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the content durable. After it failed nothing is known of what
	// was written since the last one that did not.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

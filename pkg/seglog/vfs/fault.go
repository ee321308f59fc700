package vfs

import (
	"errors"
	"io"
	"sync"
)

// ErrPowerOff is what every operation returns after Fault.PowerOff.
var ErrPowerOff = errors.New("the power is off")

// An Op is one operation on a Fault, as its Hook sees it.
type Op struct {
	N    int    // how many came before
	Kind string // create open rename remove list syncdir write sync truncate read size free
	Name string // of a file, the one it has now
}

// Changes reports whether the operation changes something, or makes it durable.
func (o Op) Changes() bool {
	switch o.Kind {
	case "create", "rename", "remove", "syncdir", "write", "sync", "truncate":
		return true
	}
	return false
}

// Fault wraps a folder and fails on demand. Set Hook before the first use.
type Fault struct {
	FS
	// Hook is asked before each operation, one at a time. If it returns an error
	// the operation fails with that error; a write may have put down the first
	// short bytes before, and what a sync of a Mem's file should have written is
	// written by no later one.
	Hook func(Op) (short int, err error)

	mu    sync.Mutex
	n     int
	off   bool
	files map[string]*label // by name
}

// A label is the name of a file that may be open; renaming changes it. Fault.mu
// guards it.
type label struct{ name string }

// labelOf returns the label of a file that was opened.
func (f *Fault) labelOf(name string) *label {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil {
		f.files = map[string]*label{}
	}
	if f.files[name] == nil {
		f.files[name] = &label{name}
	}
	return f.files[name]
}

func (f *Fault) renamed(from, to string) {
	moved := f.labelOf(from)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, from)
	moved.name, f.files[to] = to, moved
}

func (f *Fault) removed(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, name)
}

// PowerOff makes everything fail from now on.
func (f *Fault) PowerOff() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
}

// Ops returns how many operations there were.
func (f *Fault) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *Fault) check(kind, name string) (int, error) {
	return f.checkFile(kind, &label{name})
}

func (f *Fault) checkFile(kind string, file *label) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return 0, ErrPowerOff
	}
	op := Op{N: f.n, Kind: kind, Name: file.name}
	f.n++
	if f.Hook == nil {
		return 0, nil
	}
	short, err := f.Hook(op)
	if errors.Is(err, ErrPowerOff) {
		f.off = true
	}
	return short, err
}

// Create implements FS.
func (f *Fault) Create(name string) (File, error) {
	if _, err := f.check("create", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f, f.labelOf(name)}, nil
}

// Open implements FS.
func (f *Fault) Open(name string, write bool) (File, error) {
	if _, err := f.check("open", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name, write)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f, f.labelOf(name)}, nil
}

// Rename implements FS.
func (f *Fault) Rename(from, to string) error {
	if _, err := f.check("rename", from); err != nil {
		return err
	}
	if err := f.FS.Rename(from, to); err != nil {
		return err
	}
	f.renamed(from, to)
	return nil
}

// Remove implements FS.
func (f *Fault) Remove(name string) error {
	if _, err := f.check("remove", name); err != nil {
		return err
	}
	if err := f.FS.Remove(name); err != nil {
		return err
	}
	f.removed(name)
	return nil
}

// List implements FS.
func (f *Fault) List() ([]string, error) {
	if _, err := f.check("list", ""); err != nil {
		return nil, err
	}
	return f.FS.List()
}

// SyncDir implements FS.
func (f *Fault) SyncDir() error {
	if _, err := f.check("syncdir", ""); err != nil {
		return err
	}
	return f.FS.SyncDir()
}

// Free implements FS.
func (f *Fault) Free() (uint64, error) {
	if _, err := f.check("free", ""); err != nil {
		return 0, err
	}
	return f.FS.Free()
}

// Lock implements FS.
func (f *Fault) Lock() (io.Closer, error) { return f.FS.Lock() }

type faultFile struct {
	File
	fs   *Fault
	name *label
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	short, err := f.fs.checkFile("write", f.name)
	if err != nil {
		n, _ := f.File.WriteAt(p[:min(short, len(p))], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if _, err := f.fs.checkFile("read", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) Sync() error {
	if _, err := f.fs.checkFile("sync", f.name); err != nil {
		if mem, ok := f.File.(*memFile); ok && !errors.Is(err, ErrPowerOff) {
			mem.failSync()
		}
		return err
	}
	return f.File.Sync()
}

func (f *faultFile) Truncate(size int64) error {
	if _, err := f.fs.checkFile("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Size() (int64, error) {
	if _, err := f.fs.checkFile("size", f.name); err != nil {
		return 0, err
	}
	return f.File.Size()
}

package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// sector is the piece of a write that a crash keeps or forgets as a whole.
const sector = 512

// Mem is a folder in memory that can crash. Like a kernel it keeps two states: what
// every process sees, and what the disk has. The zero value is not usable; see
// NewMem. Everything is guarded by mu.
type Mem struct {
	mu      sync.Mutex
	names   map[string]*inode // as they are
	durable map[string]*inode // as of the last SyncDir
	ops     []dirOp           // in between
	locked  bool
	space   int64 // bytes that may be stored; 0: no limit
}

type inode struct {
	data   []byte       // as every process sees it
	synced []byte       // as the disk has it
	dirty  map[int]bool // sectors that the next Sync writes
	resize bool         // the size changed since the last Sync
}

// A dirOp gives to a file a name, or takes it away (nil).
type dirOp struct {
	name string
	node *inode
	from string // the name it had before, of a rename
}

// NewMem returns an empty folder.
func NewMem() *Mem {
	return &Mem{names: map[string]*inode{}, durable: map[string]*inode{}}
}

// SetSpace bounds how many bytes all files may have together; 0 is no bound.
// Beyond it writes fail with ENOSPC.
func (m *Mem) SetSpace(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.space = bytes
}

// Crash returns the folder as a machine finds it that lost power now: of what
// was not synced, each sector and each change of a name is kept with
// probability keep; what a Sync failed to write is lost. The old folder is not
// changed.
func (m *Mem) Crash(rnd *rand.Rand, keep float64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := maps.Clone(m.durable)
	for _, op := range m.ops {
		if rnd.Float64() >= keep {
			continue
		}
		if op.node == nil {
			delete(names, op.name)
			continue
		}
		if op.from != "" && names[op.from] == op.node {
			delete(names, op.from)
		}
		names[op.name] = op.node
	}
	after := NewMem()
	after.space = m.space
	seen := map[*inode]*inode{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node := names[name]
		if seen[node] == nil {
			seen[node] = node.crash(rnd, keep)
		}
		after.names[name] = seen[node]
	}
	after.durable = maps.Clone(after.names)
	return after
}

// Kill returns the folder as the next process finds it after this one was killed:
// nothing is gone, and what was not synced is still not. The old folder is not
// changed.
func (m *Mem) Kill() *Mem {
	return m.copy((*inode).kill)
}

// Clone returns the folder as it is, all of it synced. The old one is not changed.
func (m *Mem) Clone() *Mem {
	after := m.copy(func(n *inode) *inode {
		return &inode{data: slices.Clone(n.data), synced: slices.Clone(n.data), dirty: map[int]bool{}}
	})
	after.durable, after.ops = maps.Clone(after.names), nil
	return after
}

// copy returns the folder with each file as of makes it.
func (m *Mem) copy(of func(*inode) *inode) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.space = m.space
	copies := map[*inode]*inode{nil: nil}
	one := func(n *inode) *inode {
		if _, ok := copies[n]; !ok {
			copies[n] = of(n)
		}
		return copies[n]
	}
	for name, n := range m.names {
		after.names[name] = one(n)
	}
	for name, n := range m.durable {
		after.durable[name] = one(n)
	}
	for _, op := range m.ops {
		after.ops = append(after.ops, dirOp{op.name, one(op.node), op.from})
	}
	return after
}

func (n *inode) kill() *inode {
	return &inode{slices.Clone(n.data), slices.Clone(n.synced), maps.Clone(n.dirty), n.resize}
}

// crash returns what is left of the file.
func (n *inode) crash(rnd *rand.Rand, keep float64) *inode {
	size := len(n.synced)
	if n.resize && rnd.Float64() < keep {
		size = len(n.data)
	}
	data := make([]byte, size)
	copy(data, n.synced)
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		from, to := s*sector, min((s+1)*sector, len(n.data), size)
		if from < to && rnd.Float64() < keep {
			copy(data[from:to], n.data[from:to])
		}
	}
	return &inode{data: data, synced: slices.Clone(data), dirty: map[int]bool{}}
}

// Flip changes one bit of a file, behind everybody's back.
func (m *Mem) Flip(name string, bit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	n.data[bit/8] ^= 1 << (bit % 8)
	if at := bit / 8; at < int64(len(n.synced)) {
		n.synced[at] = n.data[at]
	}
}

// Cut shortens a file, behind everybody's back.
func (m *Mem) Cut(name string, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	n.data = n.data[:size]
	n.synced = slices.Clone(n.data)
}

// Bytes returns a copy of a file's content.
func (m *Mem) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[name]; n != nil {
		return slices.Clone(n.data)
	}
	return nil
}

// Put writes a file with everything synced, for tests that lay out a folder.
func (m *Mem) Put(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := &inode{data: slices.Clone(data), synced: slices.Clone(data), dirty: map[int]bool{}}
	m.names[name], m.durable[name] = n, n
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		n = &inode{dirty: map[int]bool{}}
		m.names[name] = n
		m.ops = append(m.ops, dirOp{name: name, node: n})
	} else {
		n.truncate(0)
	}
	return &memFile{fs: m, node: n, write: true}, nil
}

// Open implements FS.
func (m *Mem) Open(name string, write bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return &memFile{fs: m, node: n, write: write}, nil
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[from]
	if n == nil {
		return fmt.Errorf("rename %s: %w", from, fs.ErrNotExist)
	}
	delete(m.names, from)
	m.names[to] = n
	m.ops = append(m.ops, dirOp{name: to, node: n, from: from})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] == nil {
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	}
	delete(m.names, name)
	m.ops = append(m.ops, dirOp{name: name})
	return nil
}

// List implements FS.
func (m *Mem) List() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.names)), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = maps.Clone(m.names)
	m.ops = nil
	return nil
}

// Free implements FS.
func (m *Mem) Free() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.space == 0 {
		return 1 << 40, nil
	}
	return uint64(max(0, m.space-m.used())), nil
}

// Lock implements FS. A crash releases it.
func (m *Mem) Lock() (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return nil, ErrLocked
	}
	m.locked = true
	return &memLock{fs: m}, nil
}

// Path implements FS.
func (m *Mem) Path(name string) string { return name }

func (m *Mem) used() int64 {
	var n int64
	for _, f := range m.names {
		n += int64(len(f.data))
	}
	return n
}

type memLock struct {
	fs   *Mem
	once sync.Once
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		l.fs.locked = false
	})
	return nil
}

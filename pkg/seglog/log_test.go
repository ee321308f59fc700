package seglog_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A rig is a log with a writer that numbers its records, and remembers them. It
// lives in a bubble: settle waits until the log's goroutine has nothing to do.
type rig struct {
	testing.TB
	fs   vfs.FS
	opts seglog.Options
	log  *seglog.Log

	opened []*seglog.Log
	offset uint64
	time   int64
	prev   map[string]uint64
	stored map[string][]string // what was appended, as read returns it
	state  string              // what the last checkpoint held, and what was replayed since
}

// withRig runs test in a bubble, with a log in memory whose segments are small.
func withRig(t *testing.T, test func(r *rig)) { t.Helper(); withRigOn(t, vfs.NewMem(), test) }

func withRigOn(t *testing.T, fs vfs.FS, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fs)
		defer func() { // also of those that the test left behind, as a killed process would
			for _, log := range r.opened {
				log.Close()
			}
		}()
		r.open()
		test(r)
	})
}

func newRig(t testing.TB, fs vfs.FS) *rig {
	return &rig{
		TB: t, fs: fs, opts: seglog.Options{SegmentSize: 4 << 10, MinFree: 1},
		prev: map[string]uint64{}, stored: map[string][]string{},
	}
}

func (r *rig) do(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) settle() { synctest.Wait() }

// tryOpen opens the log on what is in the folder and restores its state.
func (r *rig) tryOpen() error {
	opts := r.opts
	opts.FS = r.fs
	if opts.Epoch == 0 {
		opts.Epoch = rand.Uint64() | 1
	}
	log, err := seglog.Open(opts)
	if err != nil {
		return err
	}
	r.opened = append(r.opened, log)
	r.state = ""
	err = log.Restore(
		func(b []byte) error { r.state = string(b); return nil },
		func(rec *seglog.Record) error { r.state += " " + string(rec.Body); return nil },
	)
	if err != nil {
		log.Close()
		return err
	}
	r.log, r.offset = log, log.Ceiling()
	r.prev = map[string]uint64{}
	for _, s := range log.Streams() {
		r.prev[s.Key()] = s.Last()
	}
	return nil
}

func (r *rig) open() {
	r.Helper()
	r.do(r.tryOpen())
	r.settle()
}

// reopen closes the log and opens it again on another folder, or the same.
func (r *rig) reopen(fs vfs.FS) {
	r.Helper()
	r.close()
	r.fs = fs
	r.open()
}

func (r *rig) close() {
	r.Helper()
	r.settle()
	r.do(r.log.Close())
}

// try appends a batch with one record on each of the streams; "" is none.
func (r *rig) try(urgent bool, keys ...string) error {
	var b seglog.Batch
	offset, time := r.offset, r.time
	var done []func()
	for _, key := range keys {
		offset++
		time++
		rec := seglog.Record{Type: 1, Time: time, Size: 100}
		text := fmt.Sprintf("%s=%d", key, offset)
		var s *seglog.Stream
		if key != "" {
			s = r.log.Stream(key)
			rec.Offset, rec.Prev = offset, r.prev[key]
		}
		b.Add(s, &rec, func(to []byte) []byte { return append(to, text...) })
		at := offset
		done = append(done, func() { r.stored[key], r.prev[key] = append(r.stored[key], text), at })
	}
	b.Ceiling = offset
	err := r.log.Append(&b, urgent)
	if errors.Is(err, seglog.ErrFull) {
		return err
	}
	r.offset, r.time = offset, time
	for _, f := range done {
		f()
	}
	return err
}

func (r *rig) append(keys ...string) {
	r.Helper()
	r.do(r.try(false, keys...))
}

// fill appends to a stream until there are n segments more.
func (r *rig) fill(n int, keys ...string) {
	r.Helper()
	for want := r.count(".seg") + n; r.count(".seg") < want; {
		r.append(keys...)
	}
	r.settle()
}

func (r *rig) checkpoint() {
	r.Helper()
	r.state = fmt.Sprintf("all up to %d", r.offset)
	r.do(r.log.Checkpoint([]byte(r.state))())
}

// collect takes two checkpoints in a new segment, so that all before may go, and
// lets the log free what it can.
func (r *rig) collect() {
	r.Helper()
	r.checkpoint()
	r.checkpoint()
	r.do(r.log.Collect())
	r.settle()
}

func (r *rig) files(ext string) (names []string) {
	r.Helper()
	all, err := r.fs.List()
	r.do(err)
	for _, name := range all {
		if strings.HasSuffix(name, ext) {
			names = append(names, name)
		}
	}
	return names
}

func (r *rig) count(ext string) int { r.Helper(); return len(r.files(ext)) }

// read returns the bodies of a stream's records after an offset, and the floor.
func read(log *seglog.Log, key string, after uint64) (bodies []string, floor uint64, err error) {
	var pin seglog.Pin
	defer pin.Release()
	entries, floor, err := log.Stream(key).After(after, math.MaxUint64, 1<<20, &pin)
	if err != nil {
		return nil, floor, err
	}
	err = log.Records(entries, func(int) string { return key }, func(_ int, rec *seglog.Record) bool {
		bodies = append(bodies, string(rec.Body))
		return true
	})
	return bodies, floor, err
}

// check compares a stream with what of it was stored, of which the first gone are
// expected not to be there any more.
func (r *rig) check(key string, gone int) {
	r.Helper()
	got, floor, err := read(r.log, key, 0)
	if err != nil {
		r.Errorf("read %s: %v", key, err)
		return
	}
	want := r.stored[key][gone:]
	if !slices.Equal(got, want) {
		r.Errorf("%s has %v, want %v", key, got, want)
	}
	if gone > 0 && fmt.Sprintf("%s=%d", key, floor) != r.stored[key][gone-1] {
		r.Errorf("the floor of %s is %d, but the newest that is gone is %s", key, floor, r.stored[key][gone-1])
	}
}

// A trap fails operations of a vfs.Fault, and lists them.
type trap struct {
	mu    sync.Mutex
	ops   []string
	check func(op vfs.Op) (short int, err error)
}

func (tr *trap) hook(op vfs.Op) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ops = append(tr.ops, op.Kind+" "+op.Name)
	if tr.check == nil {
		return 0, nil
	}
	return tr.check(op)
}

// set replaces what fails, and forgets the list.
func (tr *trap) set(check func(op vfs.Op) (int, error)) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.check, tr.ops = check, nil
}

func (tr *trap) list() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.ops)
}

// withFaults is withRig on a folder whose operations a trap fails.
func withFaults(t *testing.T, test func(r *rig, mem *vfs.Mem, tr *trap)) {
	t.Helper()
	mem, tr := vfs.NewMem(), &trap{}
	withRigOn(t, &vfs.Fault{FS: mem, Hook: tr.hook}, func(r *rig) { test(r, mem, tr) })
}

func powerCut(mem *vfs.Mem) *vfs.Mem { return mem.Crash(rand.New(rand.NewPCG(0, 0)), 0) }

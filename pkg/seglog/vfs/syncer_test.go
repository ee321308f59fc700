package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lockedDir returns a folder whose lock is held, and so has a syncer.
func lockedDir(t testing.TB) *dir {
	t.Helper()
	fs, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lock, err := fs.Lock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	})
	d := fs.(*dir)
	if d.syncer.Load() == nil {
		t.Fatal("this kernel has no asynchronous sync: fs.aio-max-nr may be used up")
	}
	return d
}

func create(t testing.TB, d *dir, name string) osFile {
	t.Helper()
	f, err := d.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f.(osFile)
}

func TestTheKernelSyncsOneFileAfterTheOther(t *testing.T) {
	d := lockedDir(t)
	s := d.syncer.Load()
	f := create(t, d, "a")
	for i := range 50 {
		if _, err := f.WriteAt([]byte("what is to stay"), int64(i)); err != nil {
			t.Fatal(err)
		}
		if err := s.sync(f.Fd()); err != nil {
			t.Fatalf("sync %d: %v", i, err)
		}
	}
}

func TestSyncsAtTheSameTimeAllSucceed(t *testing.T) {
	d := lockedDir(t)
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		f := create(t, d, name)
		all.Go(func() {
			for i := range 20 {
				if _, err := f.WriteAt([]byte(name), int64(i)); err != nil {
					t.Error(err)
				}
				if err := f.Sync(); err != nil {
					t.Errorf("sync %d of %s: %v", i, name, err)
				}
			}
		})
	}
	all.Wait()
}

func TestWhatCannotBeSyncedIsAnError(t *testing.T) {
	d := lockedDir(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := d.syncer.Load().sync(w.Fd()); err != errBusy {
		t.Fatalf("a pipe: %v", err)
	}
	if err := (osFile{w, d}).Sync(); !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("a pipe: %v", err)
	}
}

// A late answer is not taken for that of the next sync.
func TestASyncWithoutAnAnswerIsTheLast(t *testing.T) {
	d := lockedDir(t)
	s := d.syncer.Load()
	f := create(t, d, "a")
	if err := s.done.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.sync(f.Fd()); !errors.Is(err, errNoAnswer) {
		t.Fatalf("nobody waited for it: %v", err)
	}
	if err := s.done.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := s.sync(f.Fd()); err != errBusy {
		t.Errorf("the next one: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("by fdatasync: %v", err)
	}
}

func TestAFailedSyncIsAnError(t *testing.T) {
	for result, want := range map[int64]error{0: nil, -int64(syscall.EIO): syscall.EIO, -int64(syscall.ENOSPC): syscall.ENOSPC} {
		if err := (&event{result: result}).err(); !errors.Is(err, want) {
			t.Errorf("result %d: %v", result, err)
		}
	}
}

func TestWithoutTheLockFilesAreSyncedAllTheSame(t *testing.T) {
	fs, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := create(t, fs.(*dir), "a").Sync(); err != nil {
		t.Fatal(err)
	}
}

func TestAWriteThatFailsSaysWhere(t *testing.T) {
	d := lockedDir(t)
	create(t, d, "a")
	f, err := d.Open("a", false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil || !strings.Contains(err.Error(), filepath.Join(d.path, "a")) {
		t.Fatal(err)
	}
}

// BenchmarkSync is a commit a millisecond, synced by a thread and by the kernel.
// What counts is the CPU time of the process.
func BenchmarkSync(b *testing.B) {
	d := lockedDir(b)
	kernel := d.syncer.Load()
	for _, how := range []struct {
		name   string
		syncer *syncer
	}{{"fdatasync", nil}, {"kernel", kernel}} {
		b.Run(how.name, func(b *testing.B) {
			d.syncer.Store(how.syncer)
			defer d.syncer.Store(kernel)
			f := create(b, d, how.name)
			if err := f.Truncate(1 << 20); err != nil {
				b.Fatal(err)
			}
			commit := make([]byte, 256)
			before := cpu(b)
			for i := range b.N {
				time.Sleep(time.Millisecond)
				if _, err := f.WriteAt(commit, int64(i%4096)*256); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpu returns the CPU time that this process has used.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

package seglog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// failing returns a check that fails the operations of a kind with an error.
func failing(kind string, err error) func(vfs.Op) (int, error) {
	return func(op vfs.Op) (int, error) {
		if op.Kind == kind {
			return 5, err
		}
		return 0, nil
	}
}

// After a write or sync that failed nothing is written to that file again: what
// was in it goes into another, from memory.
func TestFailedFileIsNotUsedAgain(t *testing.T) {
	for _, kind := range []string{"write", "sync"} {
		t.Run(kind, func(t *testing.T) {
			withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
				r.append("/a")
				tr.set(failing(kind, syscall.EIO))
				if err := r.try(false, "/a", "/b"); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "00000001.seg") {
					t.Fatalf("got %v", err)
				}
				tr.set(nil)
				var b seglog.Batch
				if err := r.log.Append(&b, true); !errors.Is(err, syscall.EIO) || r.log.Failed() == nil {
					t.Errorf("what came after: %v", err)
				}
				if got, _, _ := read(r.log, "/a", 0); len(got) != 1 {
					t.Errorf("what is not durable is shown: %v", got)
				}
				r.do(r.log.Repair())
				r.append("/b")
				r.fill(1, "/b")
				r.close()
				for _, op := range tr.list() {
					if kind, name, _ := strings.Cut(op, " "); name == "00000001.seg" && kind != "read" && kind != "size" {
						t.Errorf("there was a %s of the failed file", kind)
					}
				}
				r.fs = powerCut(mem)
				r.open()
				r.check("/a", 0)
				r.check("/b", 0)
			})
		})
	}
}

// The disk may go on failing for a while; nothing that was accepted is lost, and
// what was not accepted is there as a whole or not at all.
func TestRepairIsTriedUntilItWorks(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync", "rename", "syncdir"} {
		t.Run(kind, func(t *testing.T) {
			withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
				r.append("/a")
				tr.set(failing("sync", syscall.EIO))
				if err := r.try(false, "/a"); err == nil {
					t.Fatal("it did not fail")
				}
				tr.set(failing(kind, syscall.EIO))
				for range 3 {
					if err := r.log.Repair(); !errors.Is(err, syscall.EIO) {
						t.Fatalf("got %v", err)
					}
					killed := mem.Kill() // a start after it finds all that was accepted
					check := newRig(t, powerCut(killed))
					r.do(check.tryOpen())
					if got, _, err := read(check.log, "/a", 0); err != nil || len(got) < 1 {
						t.Errorf("after a crash: %v, %v", got, err)
					}
					check.close()
				}
				if left := r.files(".tmp"); len(left) > 0 {
					t.Errorf("these are left: %v", left)
				}
				tr.set(nil)
				r.do(r.log.Repair())
				r.check("/a", 0)
				r.append("/a")
				r.fs = powerCut(mem)
				r.open()
				r.check("/a", 0)
			})
		})
	}
}

// A process failed to sync a batch and was killed; the next one finds it in the
// page cache, where no sync writes it any more. What it shows must survive.
func TestPageCacheIsNotTrusted(t *testing.T) {
	withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
		r.append("/a")
		tr.set(failing("sync", syscall.EIO))
		if err := r.try(false, "/a"); err == nil {
			t.Fatal("it did not fail")
		}
		killed := mem.Kill()
		r.fs = killed
		r.open()
		r.check("/a", 0)
		r.fs = powerCut(killed)
		r.open()
		r.check("/a", 0)
	})
}

// The same where the disk is full, so that there is no new segment to write it to.
func TestPageCacheIsNotTrustedOnAFullDisk(t *testing.T) {
	withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
		r.append("/a")
		tr.set(failing("sync", syscall.EIO))
		if err := r.try(false, "/a"); err == nil {
			t.Fatal("it did not fail")
		}
		killed := mem.Kill()
		tr.set(failing("create", syscall.ENOSPC))
		r.fs = &vfs.Fault{FS: killed, Hook: tr.hook}
		r.open()
		if err := r.log.Failed(); !errors.Is(err, seglog.ErrFull) {
			t.Fatalf("the disk is not full: %v", err)
		}
		r.check("/a", 0)
		r.fs = powerCut(killed)
		r.open()
		r.check("/a", 0)
	})
}

// busy is a workload that does everything once: fills and seals segments, trims,
// checkpoints, removes and rewrites, restarts. step is called after each
// operation with its error and says whether to go on.
func busy(r *rig, step func(error) bool) {
	r.Helper()
	appends := func(n int, keys ...string) bool {
		for range n {
			if !step(r.try(false, keys...)) {
				return false
			}
		}
		return true
	}
	keep := func(key string, n int) bool { return step(r.log.Stream(key).Trim(seglog.Limits{Count: n})) }
	checkpoint := func() bool {
		body := fmt.Sprintf("all up to %d", r.offset)
		return r.log.Failed() != nil || step(r.log.Checkpoint([]byte(body))())
	}
	collect := func() bool { return step(r.log.Collect()) }
	_ = appends(18, "/a", "/b", "", "/a") && appends(2, "/kept") && appends(18, "/a", "/b") && checkpoint() &&
		keep("/a", 6) && appends(10, "/a", "") && checkpoint() && keep("/b", 3) && collect() && collect() &&
		appends(10, "/b", "/a") && checkpoint() && keep("/a", 2) && collect() && checkpoint() && collect() &&
		appends(12, "/kept", "/a", "/b") && keep("/kept", 8) && checkpoint() && checkpoint() && collect() && collect() && appends(1, "/a")
}

// intact checks that of each stream everything is there from some record on, which
// trimming explains.
func (r *rig) intact(accepted map[string][]string, least map[string]int, what string) {
	r.Helper()
	for key, stored := range r.stored {
		got, floor, err := read(r.log, key, 0)
		if key == "" {
			continue
		}
		from := 0
		if len(got) > 0 {
			from = max(0, slices.Index(stored, got[0]))
		}
		end := from + len(got)
		switch {
		case err != nil:
			r.Errorf("%s: read %s: %v", what, key, err)
		case end > len(stored) || !slices.Equal(got, stored[from:end]):
			r.Errorf("%s: %s has %v, of %v", what, key, got, stored)
		case len(got) > 0 && end < len(accepted[key]), len(got) < min(least[key], len(accepted[key])):
			r.Errorf("%s: %s has %v; accepted were %v", what, key, got, accepted[key])
		case from > 0 && len(got) > 0 && fmt.Sprintf("%s=%d", key, floor) != stored[from-1]:
			r.Errorf("%s: the floor of %s is %d, but before %s there was %s", what, key, floor, got[0], stored[from-1])
		}
	}
}

// restored checks that what was accepted is in the last checkpoint, or was
// replayed after it, and that its offsets are not given again.
func (r *rig) restored(accepted map[string][]string, what string) {
	r.Helper()
	last := uint64(0)
	for _, key := range []string{"/a", "/b", "/kept", ""} {
		for _, text := range accepted[key] {
			var offset uint64
			fmt.Sscanf(text[strings.Index(text, "=")+1:], "%d", &offset)
			last = max(last, offset)
			var covered uint64
			fmt.Sscanf(r.state, "all up to %d", &covered)
			if offset > covered && !strings.Contains(r.state+" ", " "+text+" ") {
				r.Errorf("%s: %s was not restored; there is %q", what, text, r.state)
				return
			}
		}
	}
	if r.log.Ceiling() <= last {
		r.Errorf("%s: offset %d may be given again", what, last)
	}
}

func cloneStored(m map[string][]string) map[string][]string {
	c := map[string][]string{}
	for k, v := range m {
		c[k] = slices.Clone(v)
	}
	return c
}

// least is what busy never trims.
var least = map[string]int{"/a": 2, "/b": 3, "/kept": 2}

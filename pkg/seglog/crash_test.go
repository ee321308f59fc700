package seglog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// every returns the operations at which a test is to break: all of them, or some
// if it is to be short.
func every(total int) (ns []int) {
	step := 1
	if testing.Short() {
		step = 7
	}
	for n := 0; n < total; n += step {
		ns = append(ns, n)
	}
	return ns
}

// operations runs the workload undisturbed and returns how many operations change
// something.
func operations(t *testing.T, kinds func(op vfs.Op) bool) (n int) {
	withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
		r.close()
		tr.set(func(op vfs.Op) (int, error) {
			if kinds(op) {
				n++
			}
			return 0, nil
		})
		before := 0
		r.open()
		busy(r, func(err error) bool {
			r.do(err)
			r.settle()
			before = max(before, r.count(".seg"))
			return true
		})
		if after := r.count(".seg"); after > before/2 || after == before {
			t.Fatalf("the workload leaves %d of %d segments: it removes and rewrites nothing", after, before)
		}
		r.intact(r.stored, least, "undisturbed")
		r.reopen(r.fs)
		r.intact(r.stored, least, "reopened")
		r.restored(r.stored, "reopened")
	})
	return n
}

// Wherever the power goes, and whatever of what was not synced it takes: all that
// was accepted is there, and no stream has a hole.
func TestPowerCutAtEveryOperation(t *testing.T) {
	total := operations(t, vfs.Op.Changes)
	for _, n := range every(total) {
		for i, keep := range []float64{0, 0.5, 0.9} {
			synctest.Test(t, func(t *testing.T) { powerCutAt(t, n, uint64(i), keep) })
		}
	}
}

func powerCutAt(t *testing.T, n int, seed uint64, keep float64) {
	mem, tr := vfs.NewMem(), &trap{}
	r := newRig(t, &vfs.Fault{FS: mem, Hook: tr.hook})
	left := n
	tr.set(func(op vfs.Op) (int, error) {
		if op.Changes() {
			if left == 0 {
				return 7 * int(seed), vfs.ErrPowerOff
			}
			left--
		}
		return 0, nil
	})
	accepted := map[string][]string{}
	if err := r.tryOpen(); err == nil {
		busy(r, func(err error) bool {
			if err == nil {
				accepted = cloneStored(r.stored)
			}
			r.settle()
			return err == nil
		})
		r.log.Close()
	}
	what := fmt.Sprintf("power cut at change %d, keeping %v", n, keep)
	r.fs = mem.Crash(rand.New(rand.NewPCG(seed, uint64(n))), keep)
	for range 2 { // the start after the crash, and one after that
		if err := r.tryOpen(); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		r.settle()
		r.intact(accepted, least, what)
		r.restored(accepted, what)
		r.do(r.log.Close())
	}
}

// Whichever operation fails, once: what was accepted stays, the log goes on after
// a repair, and nothing of it is lost by a power cut.
func TestEveryOperationFails(t *testing.T) {
	total := operations(t, func(vfs.Op) bool { return true })
	for _, n := range every(total) {
		for _, with := range []error{syscall.EIO, syscall.ENOSPC} {
			synctest.Test(t, func(t *testing.T) { failAt(t, n, with) })
		}
	}
}

func failAt(t *testing.T, n int, with error) {
	mem, tr := vfs.NewMem(), &trap{}
	r := newRig(t, &vfs.Fault{FS: mem, Hook: tr.hook})
	what := ""
	left := n
	tr.set(func(op vfs.Op) (int, error) {
		if left--; left == -1 {
			what = fmt.Sprintf("%s of %s, operation %d, failed: %v", op.Kind, op.Name, n, with)
			return 100, with
		}
		return 0, nil
	})
	if err := r.tryOpen(); err != nil {
		r.do(r.tryOpen())
	}
	busy(r, func(err error) bool {
		if err == nil || errors.Is(err, seglog.ErrFull) {
			r.settle()
			return true
		}
		if r.log.Failed() != nil {
			r.do(r.log.Repair())
		}
		r.settle()
		return true
	})
	tr.set(nil)
	r.do(r.log.Repair())
	r.intact(r.stored, least, what)
	r.do(r.log.Close())
	r.fs = powerCut(mem)
	if err := r.tryOpen(); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	r.intact(r.stored, least, what)
	r.restored(r.stored, what)
	r.do(r.log.Close())
}

// On a full disk appends are refused, everything that is there is read, and the
// log goes on when there is room.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	withRigOn(t, mem, func(r *rig) {
		r.opts.MinFree = 16 << 10
		r.reopen(mem)
		mem.SetSpace(64 << 10)
		refused := 0
		for range 1000 {
			err := r.try(false, "/a")
			r.settle()
			if err == nil {
				continue
			}
			if !errors.Is(err, seglog.ErrFull) {
				t.Fatal(err)
			}
			if refused++; refused > 3 {
				break
			}
		}
		if refused == 0 {
			t.Fatal("the disk was never full")
		}
		r.check("/a", 0)
		if r.log.HasRoom() {
			t.Error("it has room for more")
		}
		urgent := 0
		for r.try(true, "") == nil {
			urgent++
			r.settle()
		}
		if urgent < 20 {
			t.Errorf("of the reserve only %d urgent batches could be made", urgent)
		}
		r.checkpoint() // there is always room for these
		r.checkpoint()
		r.reopen(mem)
		r.check("/a", 0)
		mem.SetSpace(256 << 10)
		r.do(r.log.Repair())
		if !r.log.HasRoom() {
			t.Error("it does not see that there is room")
		}
		r.append("/a")
		r.check("/a", 0)
	})
}

// What fills the disk is what retention can remove.
func TestFullDiskFreesItself(t *testing.T) {
	mem := vfs.NewMem()
	withRigOn(t, mem, func(r *rig) {
		r.opts.MinFree = 16 << 10
		r.reopen(mem)
		mem.SetSpace(64 << 10)
		for r.try(false, "/a") == nil {
			r.settle()
		}
		for r.try(true, "") == nil { // the reserve, too
			r.settle()
		}
		r.checkpoint()
		r.checkpoint()
		r.do(r.log.Stream("/a").Trim(seglog.Limits{Count: 5}))
		for range 3 {
			err := r.log.Collect()
			if err != nil && !errors.Is(err, seglog.ErrFull) {
				t.Fatal(err)
			}
			r.settle()
		}
		if !r.log.HasRoom() {
			t.Errorf("there is no room, and these files: %v", r.files(""))
		}
		r.append("/a")
		r.check("/a", len(r.stored["/a"])-6)
	})
}

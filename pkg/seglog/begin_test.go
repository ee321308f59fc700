package seglog_test

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

func TestOneCheckpointIsEnough(t *testing.T) {
	withRig(t, func(r *rig) {
		r.append("/a")
		r.checkpoint() // a
		r.append("/a", "")
		r.checkpoint() // b
		r.append("/a")
		base := r.fs.(*vfs.Mem).Clone()
		tests := []struct {
			what   string
			change func(mem *vfs.Mem)
			state  string
		}{
			{"both", func(mem *vfs.Mem) {}, "all up to 4 /a=5"},
			{"b lost", func(mem *vfs.Mem) { r.do(mem.Remove("checkpoint.b")) }, "all up to 2 /a=3 =4 /a=5"},
			{"b damaged", func(mem *vfs.Mem) { mem.Flip("checkpoint.b", 330) }, "all up to 2 /a=3 =4 /a=5"},
			{"b empty", func(mem *vfs.Mem) { mem.Cut("checkpoint.b", 0) }, "all up to 2 /a=3 =4 /a=5"},
			{"b unfinished", func(mem *vfs.Mem) { r.do(mem.Rename("checkpoint.b", "checkpoint.b.tmp")) }, "all up to 2 /a=3 =4 /a=5"},
			{"a lost", func(mem *vfs.Mem) { r.do(mem.Remove("checkpoint.a")) }, "all up to 4 /a=5"},
			{"both lost", func(mem *vfs.Mem) { r.do(mem.Remove("checkpoint.a")); r.do(mem.Remove("checkpoint.b")) }, " /a=2 /a=3 =4 /a=5"},
		}
		for _, test := range tests {
			mem := base.Clone()
			test.change(mem)
			r.fs = mem
			r.open()
			if r.state != test.state {
				t.Errorf("%s: restored %q, want %q", test.what, r.state, test.state)
			}
			r.check("/a", 0)
			r.checkpoint() // takes the place of the bad one
			mem.Flip(map[bool]string{true: "checkpoint.a", false: "checkpoint.b"}[test.what[0] == 'b'], 330)
			r.close()
		}
		r.fs = base
		r.open()
	})
}

// Once the log's beginning is gone, a checkpoint must be there.
func TestNoCheckpointAndNoBeginning(t *testing.T) {
	withRig(t, func(r *rig) {
		r.fill(2, "/a")
		r.do(r.log.Stream("/a").Trim(seglog.Limits{Count: 1}))
		r.collect()
		mem := r.fs.(*vfs.Mem).Clone()
		if r.count(".seg") == 3 {
			t.Fatal("nothing was removed")
		}
		r.do(mem.Remove("checkpoint.b"))
		mem.Flip("checkpoint.a", 330)
		r.corrupted(mem, "checkpoint.a", "both checkpoints are gone")
	})
}

func TestNewerVersion(t *testing.T) {
	withRig(t, func(r *rig) {
		r.fill(1, "/a")
		r.checkpoint()
		base := r.fs.(*vfs.Mem).Clone()
		for name, at := range map[string]int{"00000001.seg": 16, "00000002.seg": 16, "checkpoint.a": 12} {
			mem := base.Clone()
			mem.Put(name, seglog.Reversion(mem.Bytes(name), at))
			before := folder(t, mem)
			r.fs = mem
			err := r.tryOpen()
			if err == nil {
				t.Fatalf("%s: it was opened", name)
			}
			if _, damaged := errors.AsType[*seglog.CorruptError](err); damaged || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "version 2") {
				t.Errorf("%s: the error is %q", name, err)
			}
			if folder(t, mem) != before {
				t.Errorf("%s: the folder was changed", name)
			}
		}
		mem := base.Clone() // an index can be made again
		mem.Put("00000001.idx", seglog.Reversion(mem.Bytes("00000001.idx"), 12))
		r.served(mem, "a newer index", 0)
		r.fs = base
		r.open()
	})
}

func TestForeignFiles(t *testing.T) {
	withRig(t, func(r *rig) {
		r.append("/a")
		mem := r.fs.(*vfs.Mem).Clone()
		foreign := []string{
			"README", "00000000.seg", "0000000A.seg", "1.seg", "000000001.seg", "00000001.seg.bak", " 0000001.seg", "+0000001.seg",
			"checkpoint", "checkpoint.c", "0000000x.idx",
		}
		for _, name := range foreign {
			mem.Put(name, []byte("not ours"))
		}
		mem.Put("00000007.idx", []byte("ours, of no segment"))
		mem.Put("spare1.tmp", []byte("ours, left over"))
		r.reopen(mem)
		r.check("/a", 0)
		for _, name := range foreign {
			if string(mem.Bytes(name)) != "not ours" {
				t.Errorf("%s was changed", name)
			}
		}
		for _, name := range []string{"00000007.idx", "spare1.tmp"} {
			if b := mem.Bytes(name); bytes.HasPrefix(b, []byte("ours")) {
				t.Errorf("%s is still there", name)
			}
		}
	})
}

func TestTwoOpeners(t *testing.T) {
	dir, err := vfs.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	withRigOn(t, dir, func(r *rig) {
		r.append("/a")
		if _, err := seglog.Open(seglog.Options{FS: dir, Epoch: 2}); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("the second one: %v", err)
		}
		r.append("/a")
		r.check("/a", 0)
	})
}

// An error of the system is not damage, and names the file.
func TestOpenFails(t *testing.T) {
	withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
		r.fill(2, "/a")
		r.checkpoint()
		r.close()
		for _, fail := range []string{"open 00000001.seg", "read 00000002.seg", "open checkpoint.a", "read checkpoint.a", "list ", "syncdir ", "rename new.tmp", "sync new.tmp"} {
			tr.set(func(op vfs.Op) (int, error) {
				if op.Kind+" "+op.Name == fail {
					return 0, syscall.EACCES
				}
				return 0, nil
			})
			err := r.tryOpen()
			if !errors.Is(err, syscall.EACCES) {
				t.Errorf("%s failed: %v", fail, err)
				continue
			}
			if _, name, _ := strings.Cut(fail, " "); !strings.Contains(err.Error(), name) {
				t.Errorf("%s failed, and the error is %q", fail, err)
			}
		}
		tr.set(nil)
		r.open()
		r.check("/a", 0)
	})
}

// The runs are remembered, and none gets an offset of another.
func TestRuns(t *testing.T) {
	withRig(t, func(r *rig) {
		for epoch := uint64(101); epoch < 105; epoch++ {
			r.append("/a", "/a")
			r.opts.Epoch = epoch
			r.reopen(r.fs)
		}
		runs := r.log.Runs()
		if len(runs) != 5 {
			t.Fatalf("got %v", runs)
		}
		for i, run := range runs {
			want := seglog.Run{Epoch: 100 + uint64(i), First: 1 + 3*uint64(i), Last: 3 + 3*uint64(i)}
			if i == 0 {
				want.Epoch = run.Epoch
			}
			if i == 4 {
				want.Last = 0
			}
			if run != want {
				t.Errorf("run %d is %v, want %v", i, run, want)
			}
		}
	})
}

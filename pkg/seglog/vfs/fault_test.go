package vfs_test

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// everything does each operation once and returns the errors by kind.
func everything(dir vfs.FS) map[string]error {
	errs := map[string]error{}
	f, err := dir.Create("a")
	if errs["create"] = err; err != nil {
		f, _ = dir.Create("a")
	}
	_, errs["write"] = f.WriteAt([]byte("hello"), 0)
	_, errs["read"] = f.ReadAt(make([]byte, 1), 0)
	_, errs["size"] = f.Size()
	errs["sync"] = f.Sync()
	errs["truncate"] = f.Truncate(1)
	f.Close()
	_, errs["open"] = dir.Open("a", false)
	errs["rename"] = dir.Rename("a", "b")
	errs["remove"] = dir.Remove("b")
	_, errs["list"] = dir.List()
	errs["syncdir"] = dir.SyncDir()
	_, errs["free"] = dir.Free()
	return errs
}

// The nth operation fails, whichever it is, and only that one.
func TestNthOperationFails(t *testing.T) {
	probe := &vfs.Fault{FS: vfs.NewMem()}
	for kind, err := range everything(probe) {
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	var failed []string
	for n := range probe.Ops() {
		mem := vfs.NewMem()
		mem.Put("a", nil) // so that a rename or open is not refused for another reason
		hit := ""
		dir := &vfs.Fault{FS: mem, Hook: func(op vfs.Op) (int, error) {
			if op.N == n {
				hit = op.Kind
				return 0, syscall.EIO
			}
			return 0, nil
		}}
		errs := everything(dir)
		if !errors.Is(errs[hit], syscall.EIO) {
			t.Errorf("operation %d is %q, which returned %v", n, hit, errs[hit])
		}
		for kind, err := range errs {
			if kind != hit && errors.Is(err, syscall.EIO) {
				t.Errorf("operation %d is %q, and %s failed", n, hit, kind)
			}
		}
		failed = append(failed, hit)
	}
	if slices.Sort(failed); len(slices.Compact(failed)) != 12 {
		t.Errorf("these failed: %v", failed)
	}
}

func TestShortWrite(t *testing.T) {
	mem := vfs.NewMem()
	dir := &vfs.Fault{FS: mem, Hook: func(op vfs.Op) (int, error) {
		if op.Kind == "write" {
			return 3, syscall.ENOSPC
		}
		return 0, nil
	}}
	f, err := dir.Create("a")
	do(t, err)
	if n, err := f.WriteAt([]byte("hello"), 0); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %d, %v", n, err)
	}
	if got := content(t, mem, "a"); got != "hel" {
		t.Errorf("the file holds %q", got)
	}
}

func TestPowerOff(t *testing.T) {
	mem := vfs.NewMem()
	dir := &vfs.Fault{FS: mem}
	f := create(t, dir, "a", "hello")
	do(t, dir.SyncDir())
	dir.PowerOff()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, vfs.ErrPowerOff) {
		t.Errorf("write: %v", err)
	}
	if err := f.Sync(); !errors.Is(err, vfs.ErrPowerOff) {
		t.Errorf("sync: %v", err)
	}
	if _, err := dir.Create("b"); !errors.Is(err, vfs.ErrPowerOff) {
		t.Errorf("create: %v", err)
	}
	if got := content(t, mem.Crash(seeded(0), 1), "a"); got != "hello" {
		t.Errorf("what the system had still to write is %q", got)
	}
	// A hook can switch it off, too.
	dir = &vfs.Fault{FS: mem, Hook: func(op vfs.Op) (int, error) { return 0, vfs.ErrPowerOff }}
	_ = dir.SyncDir()
	dir.Hook = nil
	if _, err := dir.List(); !errors.Is(err, vfs.ErrPowerOff) {
		t.Errorf("list: %v", err)
	}
}

// A file that is open goes by its new name.
func TestRenamedFile(t *testing.T) {
	var ops []string
	dir := &vfs.Fault{FS: vfs.NewMem(), Hook: func(op vfs.Op) (int, error) {
		ops = append(ops, op.Kind+" "+op.Name)
		return 0, nil
	}}
	f := create(t, dir, "a", "1")
	do(t, dir.Rename("a", "b"))
	write(t, f, "2", 0)
	g := create(t, dir, "a", "3")
	do(t, dir.Remove("b"))
	do(t, dir.Rename("a", "b"))
	write(t, f, "4", 0)
	write(t, g, "5", 0)
	want := []string{
		"create a", "write a", "rename a", "write b", "create a", "write a", "remove b", "rename a", "write b", "write b",
	}
	if !slices.Equal(ops, want) {
		t.Errorf("got %q, want %q", ops, want)
	}
}

func TestChanges(t *testing.T) {
	var changing, looking []string
	dir := &vfs.Fault{FS: vfs.NewMem(), Hook: func(op vfs.Op) (int, error) {
		if op.Changes() {
			changing = append(changing, op.Kind)
		} else {
			looking = append(looking, op.Kind)
		}
		return 0, nil
	}}
	everything(dir)
	if want := []string{"create", "write", "sync", "truncate", "rename", "remove", "syncdir"}; !slices.Equal(changing, want) {
		t.Errorf("these change something: %v", changing)
	}
	if want := []string{"read", "size", "open", "list", "free"}; !slices.Equal(looking, want) {
		t.Errorf("these do not: %v", looking)
	}
}

package vfs_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// powerCut is a crash that keeps nothing of what was not synced.
func powerCut(m *vfs.Mem) *vfs.Mem { return m.Crash(seeded(0), 0) }

func TestCrashForgetsContent(t *testing.T) {
	mem := vfs.NewMem()
	f := create(t, mem, "one", "synced")
	do(t, f.Sync())
	do(t, mem.SyncDir())
	write(t, f, "SYN", 0)
	write(t, f, "more", 6)
	if got := content(t, mem, "one"); got != "SYNcedmore" {
		t.Errorf("before the crash it reads %q", got)
	}
	if got := content(t, powerCut(mem), "one"); got != "synced" {
		t.Errorf("nothing was kept, and it reads %q", got)
	}
	if got := content(t, mem.Crash(seeded(0), 1), "one"); got != "SYNcedmore" {
		t.Errorf("all was kept, and it reads %q", got)
	}
	do(t, f.Sync())
	if got := content(t, powerCut(mem), "one"); got != "SYNcedmore" {
		t.Errorf("all was synced, and it reads %q", got)
	}
}

// Sectors are kept or lost one by one, and the size is one thing more.
func TestCrashTearsWrites(t *testing.T) {
	mem := vfs.NewMem()
	f := create(t, mem, "one", strings.Repeat("a", 1024))
	do(t, f.Sync())
	do(t, mem.SyncDir())
	write(t, f, strings.Repeat("b", 1536), 0)
	seen := map[string]bool{}
	for seed := range uint64(200) {
		got := content(t, mem.Crash(seeded(seed), 0.5), "one")
		for at := 0; at < len(got); at += 512 {
			if s := got[at : at+512]; strings.Trim(s, s[:1]) != "" {
				t.Fatalf("seed %d: a sector is torn", seed)
			}
		}
		if len(got) == 1024 {
			got += strings.Repeat("-", 512)
		}
		seen[string([]byte{got[0], got[512], got[1024]})] = true
	}
	for _, want := range []string{"aa-", "ab-", "ba-", "bb-", "aa\x00", "aab", "bab", "bbb"} {
		if !seen[want] {
			t.Errorf("no crash left %q; there were %v", want, seen)
		}
	}
}

func TestCrashForgetsNames(t *testing.T) {
	mem := vfs.NewMem()
	do(t, create(t, mem, "old", "old").Sync())
	do(t, create(t, mem, "gone", "gone").Sync())
	do(t, mem.SyncDir())
	do(t, create(t, mem, "tmp", "new").Sync())
	do(t, mem.Rename("tmp", "old"))
	do(t, mem.Remove("gone"))
	do(t, create(t, mem, "fresh", "fresh").Sync())
	after := powerCut(mem)
	for name, want := range map[string]string{"old": "old", "gone": "gone", "tmp": "-", "fresh": "-"} {
		if got := content(t, after, name); got != want {
			t.Errorf("before the folder was synced: %s holds %q, want %q", name, got, want)
		}
	}
	seen := map[string]bool{}
	for seed := range uint64(200) {
		after := mem.Crash(seeded(seed), 0.5)
		seen[content(t, after, "old")+content(t, after, "gone")+content(t, after, "fresh")] = true
	}
	if len(seen) != 8 {
		t.Errorf("names do not come and go one by one: %v", seen)
	}
	do(t, mem.SyncDir())
	after = powerCut(mem)
	for name, want := range map[string]string{"old": "new", "gone": "-", "tmp": "-", "fresh": "fresh"} {
		if got := content(t, after, name); got != want {
			t.Errorf("after the folder was synced: %s holds %q, want %q", name, got, want)
		}
	}
}

// A file whose name is durable may still be empty: that is what one must sync
// before it is renamed.
func TestCrashForgetsContentBehindADurableName(t *testing.T) {
	mem := vfs.NewMem()
	create(t, mem, "tmp", "new")
	do(t, mem.Rename("tmp", "one"))
	do(t, mem.SyncDir())
	if got := content(t, powerCut(mem), "one"); got != "" {
		t.Errorf("got %q", got)
	}
}

// What was cut off does not come back by growing again.
func TestSyncAfterTruncate(t *testing.T) {
	mem := vfs.NewMem()
	f := create(t, mem, "one", strings.Repeat("a", 2048))
	do(t, f.Sync())
	do(t, mem.SyncDir())
	do(t, f.Truncate(100))
	write(t, f, "b", 2047)
	do(t, f.Sync())
	want := strings.Repeat("a", 100) + strings.Repeat("\x00", 1947) + "b"
	if got := content(t, powerCut(mem), "one"); got != want {
		t.Error("what was cut off is back")
	}
}

// After a sync that failed another one succeeds, and writes nothing: so does
// Linux, and nothing short of writing again helps.
func TestFailedSyncLoses(t *testing.T) {
	mem := vfs.NewMem()
	fail := false
	dir := &vfs.Fault{FS: mem, Hook: func(op vfs.Op) (int, error) {
		if fail && op.Kind == "sync" {
			return 0, syscall.EIO
		}
		return 0, nil
	}}
	f := create(t, dir, "one", "old")
	do(t, f.Sync())
	do(t, dir.SyncDir())
	write(t, f, "new", 0)
	fail = true
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	fail = false
	do(t, f.Sync())
	if got := content(t, mem, "one"); got != "new" {
		t.Errorf("it reads %q", got)
	}
	if got := content(t, mem.Kill(), "one"); got != "new" {
		t.Errorf("another process reads %q", got)
	}
	if got := content(t, mem.Crash(seeded(0), 1), "one"); got != "old" {
		t.Errorf("after a crash it reads %q", got)
	}
	write(t, f, "new", 0)
	do(t, f.Sync())
	if got := content(t, powerCut(mem), "one"); got != "new" {
		t.Errorf("written again it reads %q", got)
	}
}

// A killed process leaves everything, but makes nothing durable, and what it
// leaves is not changed by what comes after.
func TestKill(t *testing.T) {
	mem := vfs.NewMem()
	f := create(t, mem, "one", "old")
	do(t, f.Sync())
	do(t, mem.SyncDir())
	write(t, f, "new", 0)
	do(t, mem.Rename("one", "two"))
	if _, err := mem.Lock(); err != nil {
		t.Fatal(err)
	}
	next := mem.Kill()
	write(t, f, "bad", 0)
	if got := content(t, next, "two"); got != "new" {
		t.Errorf("the next process reads %q", got)
	}
	lock, err := next.Lock()
	do(t, err)
	do(t, lock.Close())
	if after := powerCut(next); content(t, after, "one") != "old" || content(t, after, "two") != "-" {
		t.Error("killing a process made something durable")
	}
	do(t, next.SyncDir())
	g, err := next.Open("two", true)
	do(t, err)
	do(t, g.Sync())
	if got := content(t, powerCut(next), "two"); got != "new" {
		t.Errorf("synced by the next process it reads %q", got)
	}
}

func TestClone(t *testing.T) {
	mem := vfs.NewMem()
	f := create(t, mem, "one", "hello")
	after := mem.Clone()
	write(t, f, "HELLO", 0)
	if got := content(t, powerCut(after), "one"); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestSpace(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetSpace(10)
	f := create(t, mem, "one", "12345678")
	if free, _ := mem.Free(); free != 2 {
		t.Errorf("%d bytes are free", free)
	}
	if _, err := f.WriteAt([]byte("abc"), 8); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write beyond the end of the disk: %v", err)
	}
	write(t, f, "abcdefgh", 0) // takes no more room
	mem.SetSpace(11)
	write(t, f, "abc", 8)
	do(t, mem.Remove("one"))
	if free, _ := mem.Free(); free != 11 {
		t.Errorf("%d bytes are free after all is removed", free)
	}
}

func TestDamage(t *testing.T) {
	mem := vfs.NewMem()
	mem.Put("one", []byte("hello"))
	mem.Flip("one", 8*1+5)
	mem.Cut("one", 4)
	if got := content(t, powerCut(mem), "one"); got != "hEll" {
		t.Errorf("got %q", got)
	}
	if got := string(mem.Bytes("one")); got != "hEll" {
		t.Errorf("Bytes returns %q", got)
	}
	if mem.Bytes("two") != nil {
		t.Error("there are bytes of no file")
	}
}

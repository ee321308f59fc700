package vfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// TestView: who only reads a folder changes nothing in it, and keeps out who would.
func TestView(t *testing.T) {
	path := t.TempDir()
	do(t, os.WriteFile(filepath.Join(path, "one"), []byte("hello"), 0o600))
	seen, err := vfs.ViewDir(path)
	do(t, err)
	unlocked, err := seen.Lock()
	do(t, err)
	do(t, unlocked.Close())
	if found, _ := os.ReadDir(path); len(found) != 1 {
		t.Errorf("a lock was made: %v", found)
	}
	if got := content(t, seen, "one"); got != "hello" {
		t.Errorf("read %q", got)
	}
	for what, err := range map[string]error{
		"create": second(seen.Create("two")), "write": second(seen.Open("one", true)),
		"rename": seen.Rename("one", "two"), "remove": seen.Remove("one"),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := vfs.ViewDir(filepath.Join(path, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}

	dir, err := vfs.OpenDir(path)
	do(t, err)
	held, err := dir.Lock()
	do(t, err)
	if _, err := seen.Lock(); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("of an open folder: %v", err)
	}
	do(t, held.Close())
	first, err := seen.Lock()
	do(t, err)
	also, err := seen.Lock()
	do(t, err)
	do(t, also.Close())
	if _, err := dir.Lock(); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("of a folder that is being read: %v", err)
	}
	do(t, first.Close())
}

package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// eachFS runs a test on every implementation: what the log does on one must be
// what it does on the others.
func eachFS(t *testing.T, test func(t *testing.T, dir vfs.FS)) {
	folder := func(t *testing.T) vfs.FS {
		dir, err := vfs.OpenDir(filepath.Join(t.TempDir(), "a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	t.Run("os", func(t *testing.T) { test(t, folder(t)) })
	t.Run("mem", func(t *testing.T) { test(t, vfs.NewMem()) })
	t.Run("fault", func(t *testing.T) { test(t, &vfs.Fault{FS: vfs.NewMem()}) })
}

func create(t testing.TB, dir vfs.FS, name, content string) vfs.File {
	t.Helper()
	f, err := dir.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, content, 0)
	return f
}

func write(t testing.TB, f vfs.File, content string, at int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(content), at); err != nil || n != len(content) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(content), err)
	}
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content returns what a file holds, "-" if there is no such file.
func content(t testing.TB, dir vfs.FS, name string) string {
	t.Helper()
	f, err := dir.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		t.Fatal(err)
	}
	return string(b)
}

func TestFiles(t *testing.T) {
	eachFS(t, func(t *testing.T, dir vfs.FS) {
		f := create(t, dir, "one", "hello")
		write(t, f, "there", 8)
		if got := content(t, dir, "one"); got != "hello\x00\x00\x00there" {
			t.Errorf("a hole reads as %q", got)
		}
		do(t, f.Sync())
		do(t, f.Truncate(2))
		do(t, f.Truncate(4))
		if got := content(t, dir, "one"); got != "he\x00\x00" {
			t.Errorf("cut and grown it is %q", got)
		}
		b := make([]byte, 3)
		if n, err := f.ReadAt(b, 2); n != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("a read across the end: %d, %v", n, err)
		}
		if n, err := f.ReadAt(b, 9); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("a read behind the end: %d, %v", n, err)
		}
		do(t, f.Close())
		if _, err := f.ReadAt(b, 0); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := f.WriteAt(b, 0); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		do(t, create(t, dir, "one", "").Close())
		if got := content(t, dir, "one"); got != "" {
			t.Errorf("made again it holds %q", got)
		}
	})
}

func TestReadOnly(t *testing.T) {
	eachFS(t, func(t *testing.T, dir vfs.FS) {
		create(t, dir, "one", "hello").Close()
		f, err := dir.Open("one", false)
		do(t, err)
		defer f.Close()
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a file that is open for reading was written")
		}
		if err := f.Truncate(0); err == nil {
			t.Error("a file that is open for reading was cut")
		}
	})
}

func TestNames(t *testing.T) {
	eachFS(t, func(t *testing.T, dir vfs.FS) {
		for _, name := range []string{"b", "a", "c"} {
			create(t, dir, name, "in "+name).Close()
		}
		do(t, dir.Rename("c", "a"))
		reader, err := dir.Open("b", false)
		do(t, err)
		defer reader.Close()
		do(t, dir.Remove("b"))
		do(t, dir.SyncDir())
		if names, err := dir.List(); err != nil || !slices.Equal(names, []string{"a"}) {
			t.Errorf("got %v, %v", names, err)
		}
		if got := content(t, dir, "a"); got != "in c" {
			t.Errorf("the renamed file holds %q", got)
		}
		b := make([]byte, 4)
		if _, err := reader.ReadAt(b, 0); err != nil || string(b) != "in b" {
			t.Errorf("the removed file, still open, reads %q, %v", b, err)
		}
		for what, err := range map[string]error{
			"remove": dir.Remove("b"), "rename": dir.Rename("b", "x"), "open": second(dir.Open("b", true)),
		} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of what is not there: %v", what, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestLock(t *testing.T) {
	eachFS(t, func(t *testing.T, dir vfs.FS) {
		held, err := dir.Lock()
		do(t, err)
		if _, err := dir.Lock(); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("the second lock: %v", err)
		}
		do(t, held.Close())
		again, err := dir.Lock()
		do(t, err)
		do(t, again.Close())
		if names, _ := dir.List(); len(names) > 0 {
			t.Errorf("the lock shows among the files: %v", names)
		}
	})
}

// What is in the folder is other people's messages.
func TestOnlyTheOwnerLooksInside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine")
	dir, err := vfs.OpenDir(path)
	do(t, err)
	create(t, dir, "one", "hello").Close()
	lock, err := dir.Lock()
	do(t, err)
	defer lock.Close()
	for name, want := range map[string]fs.FileMode{"": 0o700, "one": 0o600, "lock": 0o600} {
		st, err := os.Stat(filepath.Join(path, name))
		do(t, err)
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
}

func TestDirWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may look everywhere")
	}
	path := t.TempDir()
	dir, err := vfs.OpenDir(path)
	do(t, err)
	do(t, os.Chmod(path, 0))
	defer os.Chmod(path, 0o700)
	for what, err := range map[string]error{
		"list": second(dir.List()), "create": second(dir.Create("x")), "lock": second(dir.Lock()), "sync": dir.SyncDir(),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestListLeavesOutWhatIsNoFile(t *testing.T) {
	path := t.TempDir()
	do(t, os.Mkdir(filepath.Join(path, "00000001.seg"), 0o700))
	do(t, os.Symlink("elsewhere", filepath.Join(path, "00000002.seg")))
	dir, err := vfs.OpenDir(path)
	do(t, err)
	if names, err := dir.List(); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v", names, err)
	}
}

func TestOpenDirOnAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	do(t, os.WriteFile(path, nil, 0o600))
	if _, err := vfs.OpenDir(path); err == nil {
		t.Error("a file passed for a folder")
	}
}

func TestFree(t *testing.T) {
	eachFS(t, func(t *testing.T, dir vfs.FS) {
		if n, err := dir.Free(); err != nil || n == 0 {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

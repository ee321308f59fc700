package fileauth_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/fileauth"
)

func TestSetPassword(t *testing.T) {
	alice, bob := line("alice", "x", "editors"), line("bob", "y", "")
	path := usersFile(t, "# people", alice, "", "  # more", bob)
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if added, err := fileauth.SetPassword(path, "alice", "wonderland", nil); added || err != nil {
		t.Fatalf("added %t, %v", added, err)
	}
	if added, err := fileauth.SetPassword(path, "carol", "sings", []string{"choir", "staff"}); !added || err != nil {
		t.Fatalf("added %t, %v", added, err)
	}
	lines := readLines(t, path)
	if len(lines) != 6 || lines[0] != "# people" || lines[2] != "" || lines[3] != "  # more" || lines[4] != bob || !strings.HasPrefix(lines[5], "carol:") {
		t.Errorf("the file is now\n%s", strings.Join(lines, "\n"))
	}
	if lines[1] == alice || !strings.HasPrefix(lines[1], "alice:$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("alice's line is %s", lines[1])
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o604 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	checkLogin(t, path, "alice", "wonderland", "editors")
	checkLogin(t, path, "carol", "sings", "choir", "staff")
	if _, err := fileauth.SetPassword(path, "alice", "again", []string{}); err != nil {
		t.Fatal(err)
	}
	checkLogin(t, path, "alice", "again")
	checkAlone(t, path)
}

func TestFirstUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if added, err := fileauth.SetPassword(path, "alice", "wonderland", []string{"editors"}); !added || err != nil {
		t.Fatalf("added %t, %v", added, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	checkLogin(t, path, "alice", "wonderland", "editors")
}

func TestNoNewlineAtTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(line("bob", "y", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fileauth.SetPassword(path, "alice", "x", nil); err != nil {
		t.Fatal(err)
	}
	if lines := readLines(t, path); len(lines) != 2 {
		t.Errorf("%q", lines)
	}
}

func TestDeleteAndSetGroups(t *testing.T) {
	path := usersFile(t, "# people", line("alice", "x", "a"), line("bob", "y", "b"))
	if err := fileauth.SetGroups(path, "bob", []string{"c", "d"}); err != nil {
		t.Fatal(err)
	}
	checkLogin(t, path, "bob", "y", "c", "d")
	if err := fileauth.Delete(path, "alice"); err != nil {
		t.Fatal(err)
	}
	if lines := readLines(t, path); len(lines) != 2 || lines[1] != line("bob", "y", "c,d") {
		t.Errorf("the file is now %q", lines)
	}
	for _, err := range []error{fileauth.Delete(path, "alice"), fileauth.SetGroups(path, "alice", nil), fileauth.Delete(path, "# people")} {
		if !errors.Is(err, fileauth.ErrNoUser) {
			t.Error(err)
		}
	}
	checkAlone(t, path)
}

// TestEditsRefused: whatever is wrong, the file stays as it was.
func TestEditsRefused(t *testing.T) {
	path := usersFile(t, line("alice", "x", ""))
	before := readLines(t, path)
	set := func(name, password string, groups ...string) error {
		_, err := fileauth.SetPassword(path, name, password, groups)
		return err
	}
	for name, err := range map[string]error{
		"empty password": set("alice", ""),
		"long password":  set("alice", strings.Repeat("x", fileauth.MaxPassword+1)),
		"colon":          set("a:b", "x"),
		"newline":        set("a\nroot", "x"),
		"no name":        set("", "x"),
		"group":          set("alice", "x", "a,b"),
		"group newline":  set("alice", "x", "a\nb"),
		"groups":         fileauth.SetGroups(path, "alice", []string{"a:b"}),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if after := readLines(t, path); !slices.Equal(before, after) {
		t.Errorf("the file is now %q", after)
	}
	write(t, path, "alice:oops", line("bob", "y", ""))
	if err := fileauth.Delete(path, "bob"); err == nil || !strings.Contains(err.Error(), path+":1: ") {
		t.Errorf("a file with mistakes was edited: %v", err)
	}
	if err := fileauth.Delete(filepath.Join(filepath.Dir(path), "no", "users"), "bob"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	checkAlone(t, path)
}

func TestLinksStay(t *testing.T) {
	path := usersFile(t, line("alice", "x", ""))
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Symlink(path, link), fileauth.SetGroups(link, "alice", []string{"a"})); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	checkLogin(t, path, "alice", "x", "a")
}

// TestEditsAtOnce: none of them is lost.
func TestEditsAtOnce(t *testing.T) {
	const edits = 20
	lines := make([]string, edits)
	for i := range lines {
		lines[i] = line(fmt.Sprint("user", i), "x", "")
	}
	path := usersFile(t, lines...)
	var wg sync.WaitGroup
	for i := range edits {
		wg.Go(func() {
			if err := fileauth.SetGroups(path, fmt.Sprint("user", i), []string{"edited"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, got := range readLines(t, path) {
		if got != lines[i]+"edited" {
			t.Errorf("line %d is %s", i+1, got)
		}
	}
}

func checkLogin(t *testing.T, path, name, password string, groups ...string) {
	t.Helper()
	id, err := open(t, path).Authenticate(t.Context(), auth.Credentials{User: name, Password: password})
	if err != nil || !slices.Equal(id.Groups, groups) {
		t.Errorf("%s: %+v, %v", name, id, err)
	}
}

// checkAlone checks that nothing was left beside the file.
func checkAlone(t *testing.T, path string) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

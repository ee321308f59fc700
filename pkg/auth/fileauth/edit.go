package fileauth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// newMode is the mode of a file that did not exist: hashes are for the daemon's
// group, not for everybody.
const newMode = 0o640

// ErrNoUser says that there is no user of that name in the file.
var ErrNoUser = errors.New("no such user")

// SetPassword gives a user a password, and adds the user where the file does
// not have it; the file itself is made if need be. nil groups leave those of an
// existing user as they are. Everything else in the file stays as it is.
func SetPassword(path, name, password string, groups []string) (added bool, err error) {
	switch {
	case password == "":
		return false, errors.New("the password is empty")
	case len(password) > MaxPassword:
		return false, fmt.Errorf("the password has more than %d bytes", MaxPassword)
	}
	if err := errors.Join(CheckName(name), checkGroups(groups)); err != nil {
		return false, err
	}
	err = edit(path, func(lines []string) ([]string, error) {
		u := user{name: name, hash: newHash(password), groups: groups}
		at, old := find(lines, name)
		if added = at < 0; added {
			return append(lines, u.String()+"\n"), nil
		}
		if groups == nil {
			u.groups = old.groups
		}
		lines[at] = u.String() + "\n"
		return lines, nil
	})
	return added, err
}

// SetGroups gives an existing user other groups.
func SetGroups(path, name string, groups []string) error {
	if err := checkGroups(groups); err != nil {
		return err
	}
	return edit(path, func(lines []string) ([]string, error) {
		at, u := find(lines, name)
		if at < 0 {
			return nil, fmt.Errorf("%s: %w: %q", path, ErrNoUser, name)
		}
		u.groups = groups
		lines[at] = u.String() + "\n"
		return lines, nil
	})
}

// Delete removes a user.
func Delete(path, name string) error {
	return edit(path, func(lines []string) ([]string, error) {
		at, _ := find(lines, name)
		if at < 0 {
			return nil, fmt.Errorf("%s: %w: %q", path, ErrNoUser, name)
		}
		return append(lines[:at], lines[at+1:]...), nil
	})
}

// find returns the index of a user's line, or -1.
func find(lines []string, name string) (int, user) {
	for i, line := range lines {
		if u, ok, err := parseLine(line); err == nil && ok && u.name == name {
			return i, u
		}
	}
	return -1, user{}
}

// edit replaces the file by one with its lines changed, in one step: whoever
// reads it meanwhile sees the old one or the new one whole. A file that has
// mistakes is left alone.
func edit(path string, change func([]string) ([]string, error)) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	unlock, err := lock(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	lines, info, err := readLines(path)
	if err != nil {
		return err
	}
	if lines, err = change(lines); err != nil {
		return err
	}
	return replace(path, strings.Join(lines, ""), info)
}

// resolve follows links, so that the file they lead to is replaced, not they.
func resolve(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case err != nil:
		return "", fmt.Errorf("users' file: %w", err)
	}
	return resolved, nil
}

// lock keeps other edits of files in a folder waiting, also those of other
// processes. The folder is locked because the file itself gets replaced.
func lock(dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("users' file: %w", err)
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("users' file: lock %s: %w", dir, err)
	}
	return d.Close, nil
}

// readLines returns the lines of a file, each with its newline; none, and no
// info, if it does not exist.
func readLines(path string) ([]string, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("users' file: %w", err)
	}
	if _, err := readUsers(path); err != nil {
		return nil, nil, fmt.Errorf("the users' file has mistakes; correct them first:\n%w", err)
	}
	text, err := readText(path)
	if err != nil {
		return nil, nil, err
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return slices.Collect(strings.Lines(text)), info, nil
}

// replace writes text to a new file with the mode and owner of the old one,
// and renames it to its place once it is on the disk.
func replace(path, text string, old fs.FileInfo) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".users-*")
	if err != nil {
		return fmt.Errorf("users' file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	err = errors.Join(err, own(f, old), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("users' file: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("users' file: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// own gives a new file the old one's owner and mode. The owner comes first, for
// a change of it may take bits off the mode.
func own(f *os.File, old fs.FileInfo) error {
	if old == nil {
		return ownNew(f)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	uid, gid := owner(old)
	if hasUID, hasGID := owner(info); uid != hasUID || gid != hasGID { // its group may be the folder's
		if err := f.Chown(uid, gid); err != nil {
			return fmt.Errorf("keep the file's owner: %w", err)
		}
	}
	return f.Chmod(old.Mode().Perm())
}

// ownNew gives a file that is the first of its name the group of its folder:
// that is the daemon's in /etc/orbitd, where root makes the file.
func ownNew(f *os.File) error {
	dir, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	if _, gid := owner(dir); os.Geteuid() == 0 && gid != os.Getegid() {
		if err := f.Chown(-1, gid); err != nil {
			return fmt.Errorf("take the folder's group: %w", err)
		}
	}
	return f.Chmod(newMode)
}

func owner(info fs.FileInfo) (uid, gid int) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid)
	}
	return os.Geteuid(), os.Getegid()
}

package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/orbitd/orbitd/pkg/config"
)

// unitUser is as whom the package's unit runs the daemon.
const unitUser = "orbitd"

// Unreadable returns which of the files that the daemon reads it could not read as the
// user of its unit. For root, who reads everything; for others, and where there is no
// such user, there are none.
func Unreadable(c *config.Config) (problems config.Problems) {
	if os.Geteuid() != 0 {
		return nil
	}
	as, err := credential(unitUser)
	if err != nil {
		return nil
	}
	for _, f := range c.Named {
		if readableAs(as, f.Path) {
			continue
		}
		text := fmt.Sprintf("the user %s, as whom its unit runs the daemon, cannot read %s", unitUser, f.Path)
		if f.Key != "" {
			text = f.Key + ": " + text
		}
		problems = append(problems, config.Problem{
			File: f.File, Line: f.Line, Text: text,
			Hint: fmt.Sprintf("chgrp %s FILE; chmod g+r FILE; or let the group into its folder", unitUser),
		})
	}
	return problems
}

// credential returns a user with all groups.
func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	all, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	c := &syscall.Credential{}
	for _, id := range all {
		gid, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, err
		}
		c.Groups = append(c.Groups, uint32(gid))
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	c.Uid, c.Gid = uint32(uid), uint32(gid)
	return c, err
}

// readableAs asks the kernel, which knows of the folders above and of access control
// lists as well, in a process of that user; what it does not answer is readable.
func readableAs(as *syscall.Credential, path string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return true
	}
	c := exec.Command("test", "-r", path)
	c.Dir, c.SysProcAttr = "/", &syscall.SysProcAttr{Credential: as}
	exit, asked := errors.AsType[*exec.ExitError](c.Run())
	return !asked || exit.ExitCode() != 1
}

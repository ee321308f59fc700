package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/config"
)

func passwdCommand() *cobra.Command {
	var file, users string
	var groups []string
	var remove, groupsOnly bool
	c := &cobra.Command{
		Use:   "passwd USER",
		Short: "add or change a user of the users' file",
		Long: `passwd sets a user's password, and adds the user if need be. The password is asked
for, or read as one line where standard input is not a terminal. The file is
that of the configuration's first [[auth]] of type "file", unless --file names
another. A running daemon sees the change after a reload.`,
		Example: `  orbitd passwd alice --group editors
  orbitd passwd --delete alice
  systemctl reload orbitd`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := usersFile(file, users)
			if err != nil {
				return failed(err)
			}
			switch user := args[0]; {
			case remove:
				return failed(done(c, fileauth.Delete(path, user), path, "removed", user))
			case groupsOnly:
				return failed(done(c, fileauth.SetGroups(path, user, groups), path, "changed the groups of", user))
			default:
				return failed(setPassword(c, path, user, groups))
			}
		},
	}
	configFlag(c, &file)
	c.Flags().StringVarP(&users, "file", "f", "", "users' `FILE`")
	c.Flags().StringSliceVarP(&groups, "group", "g", nil, "`GROUP` of the user, in place of the ones so far; may be repeated")
	c.Flags().BoolVar(&groupsOnly, "groups-only", false, "change the groups (without --group: to none) and not the password")
	c.Flags().BoolVar(&remove, "delete", false, "remove the user")
	c.MarkFlagsMutuallyExclusive("delete", "groups-only")
	c.MarkFlagsMutuallyExclusive("delete", "group")
	return c
}

// usersFile returns the file that was named, or the configuration's.
func usersFile(file, users string) (string, error) {
	if users != "" {
		return users, nil
	}
	c, err := config.Load(file)
	if err != nil {
		return "", err
	}
	for _, a := range c.Auth {
		if a.Type == config.FileAuth {
			return a.Path, nil
		}
	}
	return "", fmt.Errorf("%s has no [[auth]] of type \"file\"; add one, or name a users' file with --file", file)
}

func setPassword(c *cobra.Command, path, user string, groups []string) error {
	if err := fileauth.CheckName(user); err != nil {
		return err
	}
	password, err := askPassword(c, user)
	if err != nil {
		return err
	}
	added, err := fileauth.SetPassword(path, user, password, groups)
	if err != nil {
		return err
	}
	verb := "changed"
	if added {
		verb = "added"
	}
	return done(c, nil, path, verb, user)
}

// done tells what was done to the file, if it was.
func done(c *cobra.Command, err error, path, verb, user string) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.ErrOrStderr(), "%s: %s %s\n", path, verb, user)
	return err
}

func askPassword(c *cobra.Command, user string) (string, error) {
	terminal, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		line, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	first, err := askOnce(c, terminal, "Password for "+user+": ")
	if err != nil {
		return "", err
	}
	second, err := askOnce(c, terminal, "Again: ")
	if err == nil && first != second {
		err = errors.New("the two passwords differ; nothing was changed")
	}
	return first, err
}

func askOnce(c *cobra.Command, terminal *os.File, prompt string) (string, error) {
	fmt.Fprint(c.ErrOrStderr(), prompt)
	password, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(c.ErrOrStderr())
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(password), nil
}

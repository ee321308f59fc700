// Command orbitd is a Comet server: it carries messages between back ends and
// browsers, and loses none on the way. Each file holds one subcommand; what
// they do is in the packages below pkg.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set when the binary is built: -ldflags "-X main.version=…".
var version = "devel"

// The exit codes, beside 0. They are part of the command line's contract.
const (
	exitFailure = 1 // it was tried and failed, or a check found mistakes
	exitUsage   = 2 // the command line is wrong
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	command, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if coded, ok := errors.AsType[*exitError](err); ok {
		if coded.err != nil {
			fmt.Fprintln(os.Stderr, "orbitd:", coded.err)
		}
		return coded.code
	}
	fmt.Fprintf(os.Stderr, "orbitd: %s\nusage: %s\nSee \"%s --help\".\n",
		strings.TrimSpace(err.Error()), command.UseLine(), command.CommandPath())
	return exitUsage
}

// An exitError ends the process with a code. Without an error, everything has
// been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// failed is the error of a command whose line was right and whose work failed.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitFailure, err}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "orbitd",
		Short: "carries messages between back ends and browsers, and loses none",
		Long: `orbitd is a Comet server: it carries messages between back-end applications and
web browsers over connections that stay open. What it has accepted is on disk,
and reaches every subscriber once and in order, whatever happens in between.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(c *cobra.Command, _ []string) error {
			c.SetOut(c.ErrOrStderr())
			return errors.Join(c.Help(), &exitError{code: exitUsage})
		},
	}
	root.AddCommand(
		serveCommand(), checkCommand(), aclCommand(), passwdCommand(), tokenCommand(),
		pubCommand(), subCommand(), reloadCommand(), recheckCommand(), statusCommand(), versionCommand(),
	)
	for _, c := range root.Commands() {
		completeFiles(c)
	}
	return root
}

// completeFiles has shells offer names of files where one is wanted, and nowhere else.
func completeFiles(c *cobra.Command) {
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if value, _ := pflag.UnquoteUsage(f); value != "FILE" && value != "PATH" {
			_ = c.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
}

// defaultConfig is where the package puts the configuration.
const defaultConfig = "/etc/orbitd/orbitd.toml"

// configFlag adds -c.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", defaultConfig, "configuration `FILE`")
}

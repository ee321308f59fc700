package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
)

func checkCommand() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "look for mistakes in the configuration",
		Long: `check reads the configuration, the files of applications beside it (apps.d), the
users and the keys that it names, and prints all mistakes that it finds, each
with its place and what to write instead. It changes nothing and needs no daemon.
It warns of settings that are right and that this version does nothing with.

Exit status: 0 without mistakes, 1 with.`,
		Example: "  orbitd check -c /etc/orbitd/orbitd.toml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			problems, warnings, err := check(file)
			if err != nil {
				return failed(err)
			}
			for _, w := range warnings {
				fmt.Fprintln(c.ErrOrStderr(), "warning:", w.Error())
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(problems)
			} else {
				err = printProblems(c, file, problems)
			}
			if err == nil && len(problems) > 0 {
				err = &exitError{code: exitFailure}
			}
			return err
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print the mistakes as a JSON array")
	return c
}

// check returns the mistakes of the configuration and of what it names, and what
// is set in vain.
func check(file string) (problems, warnings config.Problems, err error) {
	problems = config.Problems{}
	c, err := config.Load(file)
	if err != nil {
		if found, ok := errors.AsType[config.Problems](err); ok {
			return found, nil, nil
		}
		return nil, nil, err
	}
	for _, app := range c.Disabled {
		problems = append(problems, app.Err...)
	}
	return append(problems, daemon.CheckRights(c)...), c.NoEffect, nil
}

func printProblems(c *cobra.Command, file string, problems config.Problems) error {
	if len(problems) == 0 {
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s: no mistakes found\n", file)
		return err
	}
	_, err := fmt.Fprintln(c.ErrOrStderr(), problems.Error())
	return err
}

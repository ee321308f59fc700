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
	var file, export string
	var asJSON, engine bool
	c := &cobra.Command{
		Use:   "check",
		Short: "look for mistakes in the configuration, or for damage in what is stored",
		Long: `check reads the configuration, the files of applications beside it (apps.d), the
users and the keys that it names, and prints all mistakes that it finds, each
with its place and what to write instead. It changes nothing and needs no daemon.
It warns of settings that are right and that this version does nothing with.

With --engine it reads all that the engine stored instead, which takes as long as
reading the disk does, and names every damaged place. The daemon must not run.
With --export as well, what is intact is written to a new file as lines that
POST /v1/publish takes: the way out where a log is damaged and there is no backup.

Exit status: 0 without mistakes, 1 with; damage counts as one.`,
		Example: "  orbitd check -c /etc/orbitd/orbitd.toml\n  orbitd check --engine --export messages.ndjson",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if export != "" && !engine {
				return errors.New("--export is for --engine")
			}
			if engine {
				return checkEngine(c, file, export)
			}
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
	c.Flags().BoolVar(&engine, "engine", false, "read all that the engine stored, and name what is damaged")
	c.Flags().StringVar(&export, "export", "", "write what is intact to a new `FILE`; with --engine")
	c.MarkFlagsMutuallyExclusive("engine", "json")
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

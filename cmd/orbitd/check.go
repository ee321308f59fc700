package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
	"github.com/orbitd/orbitd/pkg/systemd"
)

func checkCommand() *cobra.Command {
	var file, export string
	var asJSON, engine, unit bool
	c := &cobra.Command{
		Use:   "check",
		Short: "look for mistakes in the configuration, or for damage in what is stored",
		Long: `check reads the configuration, the files of applications beside it (apps.d), the
users and the keys that it names, and prints all mistakes that it finds, each
with its place and what to write instead. It changes nothing and needs no daemon.
It warns of settings that are right and that this version does nothing with, and, as
root, of files that the user orbitd cannot read, as whom its unit runs the daemon.

With --engine it reads all that the engine stored instead, which takes as long as
reading the disk does, and names every damaged place. The daemon must not run.
With --export as well, what is intact is written to a new file as lines that
POST /v1/publish takes: the way out where a log is damaged and there is no backup.

With --unit it is what the daemon's unit runs before it starts: mistakes in an
application's own file, which disable that application alone, are warnings then, and
where there are others it waits a moment before it exits.

Exit status: 0 without mistakes, 1 with; damage counts as one.`,
		Example: "  orbitd check -c /etc/orbitd/orbitd.toml\n  orbitd check --engine --export messages.ndjson",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if export != "" && !engine {
				return errors.New("--export is for --engine")
			}
			if engine {
				return checkEngine(c, file, export, asJSON)
			}
			problems, warnings, err := check(file, unit)
			if unit {
				return beforeStart(c, problems, warnings, err)
			}
			if err != nil {
				return failed(err)
			}
			printWarnings(c, warnings)
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(problems)
			} else {
				err = printProblems(c, file, problems)
			}
			if err != nil || len(problems) == 0 {
				return err
			}
			return &exitError{code: exitFailure}
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print the mistakes as a JSON array; with --engine one object")
	c.Flags().BoolVar(&engine, "engine", false, "read all that the engine stored, and name what is damaged")
	c.Flags().StringVar(&export, "export", "", "write what is intact to a new `FILE`; with --engine")
	c.Flags().BoolVar(&unit, "unit", false, "for ExecStartPre= of the unit: only what keeps the daemon from starting counts")
	c.MarkFlagsMutuallyExclusive("unit", "json")
	c.MarkFlagsMutuallyExclusive("engine", "unit")
	return c
}

// check returns the mistakes of the configuration and of what it names, and what
// is set in vain. For a unit, what is wrong with one application is a warning.
func check(file string, unit bool) (problems, warnings config.Problems, err error) {
	problems = config.Problems{}
	c, err := config.Load(file)
	if err != nil {
		if found, ok := errors.AsType[config.Problems](err); ok {
			return found, nil, nil
		}
		return nil, nil, err
	}
	warnings = c.Warnings
	for _, app := range c.Disabled {
		if unit {
			warnings = append(warnings, app.Err...)
		} else {
			problems = append(problems, app.Err...)
		}
	}
	warnings = append(slices.Clip(warnings), daemon.Unreadable(c)...)
	return append(problems, daemon.CheckRights(c)...), warnings, nil
}

// beforeStart tells what keeps the daemon from starting. In the journal it does so as the
// daemon, which says all the rest when it starts.
func beforeStart(c *cobra.Command, problems, warnings config.Problems, err error) error {
	if err == nil && len(problems) > 0 {
		err = problems
	}
	log := logrus.New()
	journaled := systemd.UseJournal(log)
	if !journaled {
		printWarnings(c, warnings)
	}
	switch {
	case err == nil:
		return nil
	case journaled:
		daemon.Report(log, "not started", err)
	default:
		fmt.Fprintln(c.ErrOrStderr(), err)
	}
	time.Sleep(startPause)
	return &exitError{code: exitFailure}
}

func printWarnings(c *cobra.Command, warnings config.Problems) {
	for _, w := range warnings {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", w.Error())
	}
}

func printProblems(c *cobra.Command, file string, problems config.Problems) error {
	if len(problems) == 0 {
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s: no mistakes found\n", file)
		return err
	}
	_, err := fmt.Fprintln(c.ErrOrStderr(), problems.Error())
	return err
}

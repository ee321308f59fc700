package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/admin"
)

func reloadCommand() *cobra.Command {
	var socket string
	var asJSON bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "have the daemon read its configuration again, and wait for the verdict",
		Long: `reload has the running daemon read its configuration again, as SIGHUP does, and
waits until that is in force for every client, or has been refused. It prints the
mistakes, each with its place and what to write instead. Where there are any, what
was in force stays so, but for applications whose own file (apps.d) is wrong: those
are disabled.

Exit status: 0 if all that the files say is in force, else 1.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := admin.Client{Socket: socket}.Reload(c.Context())
			if err != nil {
				return failed(err)
			}
			if asJSON {
				return jsonOutcome(c, &v, v.OK())
			}
			return printVerdict(c, &v)
		},
	}
	socketFlag(c, &socket)
	jsonFlag(c, &asJSON)
	return c
}

// jsonFlag adds --json.
func jsonFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print one JSON object")
}

// jsonOutcome prints what was done, with the exit status of whether it was.
func jsonOutcome(c *cobra.Command, what any, ok bool) error {
	err := json.NewEncoder(c.OutOrStdout()).Encode(what)
	if err == nil && !ok {
		err = &exitError{code: exitFailure}
	}
	return err
}

// socketFlag adds --socket.
func socketFlag(c *cobra.Command, socket *string) {
	c.Flags().StringVar(socket, "socket", admin.DefaultSocket, "control socket of the daemon (its server.control): `PATH`")
}

func printVerdict(c *cobra.Command, v *admin.Verdict) error {
	out := c.ErrOrStderr()
	for _, p := range v.Warnings {
		fmt.Fprintln(out, "warning:", p.Error())
	}
	for _, p := range v.Problems {
		fmt.Fprintln(out, p.Error())
	}
	switch {
	case v.OK():
		_, err := fmt.Fprintln(out, "reloaded")
		return err
	case v.InForce && v.Error != "":
		return failed(fmt.Errorf("reloaded, but not wholly applied: %s", v.Error))
	case v.InForce:
		return failed(fmt.Errorf("reloaded, but for the applications above, which are disabled until their files are right"))
	case v.Error != "":
		return failed(fmt.Errorf("not reloaded; the old configuration stays in force: %s", v.Error))
	}
	return failed(fmt.Errorf("not reloaded; the old configuration stays in force"))
}

// moment is a time as people read it.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

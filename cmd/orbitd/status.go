package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/admin"
)

func statusCommand() *cobra.Command {
	var socket string
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "tell how the running daemon is",
		Long: `status asks the running daemon how it is: its clients, where it listens, what it
has stored, and what became of the last reload.

Exit status: 0 if it serves, 1 if it takes no publishes or does not answer.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := admin.Client{Socket: socket}.Status(c.Context())
			if err != nil {
				return failed(err)
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(s)
			} else {
				err = printStatus(c.OutOrStdout(), &s)
			}
			if err == nil && s.Engine.Refusing != "" {
				err = &exitError{code: exitFailure}
			}
			return err
		},
	}
	socketFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func printStatus(out io.Writer, s *admin.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	line("orbitd", "%s, process %d, since %s", s.Version, s.PID, moment(s.Started))
	line("clients", "%s", s.Summary)
	line("sessions", "%d", s.Sessions)
	if k := s.STOMP; k.Durable+k.Groups > 0 {
		line("durable", "STOMP subscriptions: %d, %d of them connected; groups: %d, %d of them connected; consumers: %d", k.Durable, k.DurableConnected, k.Groups, k.GroupsConnected, k.Consumers)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Listeners)) {
		line(name, "%s", strings.Join(s.Listeners[name], " "))
	}
	line("engine", "%s", strings.TrimSpace(fmt.Sprintf("%s %s", s.Engine.Type, s.Engine.Path)))
	line("stored", "offset %d of epoch %s", s.Engine.Offset, s.Engine.Epoch)
	line("state", "%s", s.State)
	line("config", "%s: %d authenticators, %d rules", s.Config.File, s.Config.Authenticators, s.Config.Rules)
	if len(s.Config.Disabled) > 0 {
		line("disabled", "%s", strings.Join(s.Config.Disabled, " "))
	}
	if s.Unruled > 0 {
		line("unruled", "channels that no rule fits, whose messages are kept without limit: %d", s.Unruled)
	}
	if len(s.Restart) > 0 {
		line("restart", "%s: changed since the start, for the next one", strings.Join(s.Restart, " "))
	}
	if v := s.Reload; v != nil {
		line("reload", "%s: %s", moment(v.At), outcome(v))
	}
	return w.Flush()
}

func outcome(v *admin.Verdict) string {
	switch {
	case v.OK():
		return "in force"
	case len(v.Problems) > 0 && !v.InForce:
		return "refused: " + strings.ReplaceAll(v.Problems[0].Error(), "\n   ", "")
	case v.Error != "":
		return v.Error
	}
	return "in force, but for disabled applications"
}

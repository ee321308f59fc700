package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/admin"
)

func recheckCommand() *cobra.Command {
	var socket string
	var asJSON bool
	c := &cobra.Command{
		Use:   "recheck [USER]",
		Short: "look up now what connected users may do, instead of at the next refresh",
		Long: `recheck has the running daemon look up again, in directories and users' files, what
is true of the users who are connected, or of one. When it returns, whoever has
lost a right is cut off, and whoever has got one can use it.

Exit status: 0 if everybody could be looked up, else 1.`,
		Example: "  orbitd recheck alice",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			user := ""
			if len(args) > 0 {
				user = args[0]
			}
			err := admin.Client{Socket: socket}.Recheck(c.Context(), user)
			if why, answered := errors.AsType[admin.Refusal](err); asJSON && (answered || err == nil) {
				return jsonOutcome(c, map[string]any{"ok": err == nil, "error": string(why)}, err == nil)
			}
			if err != nil {
				return failed(err)
			}
			_, err = fmt.Fprintln(c.ErrOrStderr(), "looked up again")
			return err
		},
	}
	socketFlag(c, &socket)
	jsonFlag(c, &asJSON)
	return c
}

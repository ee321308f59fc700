package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/admin"
)

func recheckCommand() *cobra.Command {
	var socket string
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
			if err := (admin.Client{Socket: socket}).Recheck(c.Context(), user); err != nil {
				return failed(err)
			}
			_, err := fmt.Fprintln(c.ErrOrStderr(), "looked up again")
			return err
		},
	}
	socketFlag(c, &socket)
	return c
}

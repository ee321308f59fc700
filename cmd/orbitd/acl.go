package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
)

func aclCommand() *cobra.Command {
	var file, user string
	var groups []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "acl [--user NAME] subscribe|publish CHANNEL",
		Short: "explain who may do what on a channel, and by which rule",
		Long: `acl decides as the daemon would, and tells which rule of which file and line made
the decision, and why the rules before it did not. Without --user the question
is about somebody who has not logged in. The user and the groups are looked up
where the configuration says, as at a login by that name, unless --group gives
them; then the name is the canonical one.

Exit status: 0 if it is allowed, 1 if not.`,
		Example: "  orbitd acl --user alice publish /news/board",
		Args:    cobra.ExactArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (actions []string, _ cobra.ShellCompDirective) {
			if len(args) == 0 {
				actions = []string{acl.Subscribe.String(), acl.Publish.String()}
			}
			return actions, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			action, err := acl.ParseAction(args[0])
			if err != nil {
				return err
			}
			name, err := channel.Parse(args[1])
			if err != nil {
				return err
			}
			if user == "" && groups != nil {
				return errors.New("--group needs --user: who has not logged in is in no group")
			}
			e, err := explain(c.Context(), file, user, groups, action, name)
			if err != nil {
				return failed(err)
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(e)
			} else {
				_, err = fmt.Fprintln(c.OutOrStdout(), e)
			}
			if err == nil && !e.Allowed {
				err = &exitError{code: exitFailure}
			}
			return err
		},
	}
	configFlag(c, &file)
	c.Flags().StringVarP(&user, "user", "u", "", "`NAME` of the user who asks; default: nobody in particular")
	c.Flags().StringSliceVarP(&groups, "group", "g", nil, "`GROUP` of the user; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func explain(ctx context.Context, file, user string, groups []string, action acl.Action, name channel.Name) (acl.Explanation, error) {
	c, err := config.Load(file)
	if err != nil {
		return acl.Explanation{}, err
	}
	by := ""
	if user != "" && groups == nil {
		found, err := daemon.FindUser(ctx, c, name.App(), user)
		if err != nil {
			return acl.Explanation{}, err
		}
		user, groups, by = found.User, found.Groups, fmt.Sprintf("auth %q, %s:%d", found.Auth.Name, file, found.Auth.Line)
	}
	e := c.Policy.Explain(acl.Subject{User: user, Groups: groups}, action, name)
	e.Auth = by
	return e, nil
}

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
)

// An order is what a token shall be.
type order struct {
	file, signer, realm, ttl, app string
	socket                        string
	groups, subscribe, publish    []string
	json                          bool
}

func tokenCommand() *cobra.Command {
	var o order
	var ended string
	var rotate bool
	c := &cobra.Command{
		Use:   "token USER | --revoke LOGIN | --rotate-key",
		Short: "make a token for a back end, or end one",
		Long: `token prints a token for a user: for a back end, which has no password. It needs to
read the key that signs, as root and the daemon's user can. Without --realm nobody
else is asked about the user: the token says it all. With --app, --subscribe or
--publish it is for those channels alone, whatever the rules allow; what it names is
allowed where a rule lists "token".

With --revoke the running daemon ends a token, or any login, for good, and every
connection that came by it. With --rotate-key a new key signs from the next reload on;
tokens of the one before stay good, those of older ones do not.`,
		Example: `  orbitd token --ttl 90d --publish '/news/**' newsroom
  orbitd token --revoke U2F5IGhlbGxvIHRvIG15IGxpdH`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case (ended != "" || rotate) != (len(args) == 0):
				return errors.New("name a user, or say what to revoke, or --rotate-key")
			case ended != "":
				return failed(endLogin(c, o.socket, ended))
			case rotate:
				return failed(o.rotateKey(c))
			}
			until, scope, err := o.parse()
			if err != nil {
				return err
			}
			return failed(o.make(c, args[0], until, scope))
		},
	}
	configFlag(c, &o.file)
	flags := c.Flags()
	flags.StringVar(&o.ttl, "ttl", "30d", "how long it is good: `DURATION`, such as 12h or 90d, at most 366d")
	flags.StringSliceVarP(&o.groups, "group", "g", nil, "`GROUP` of the user; may be repeated")
	flags.StringVar(&o.realm, "realm", "", "`NAME` of the [[auth]] that knows the user and the groups")
	flags.StringVar(&o.signer, "auth", "", "`NAME` of the [[auth]] of type token; default: the first that signs")
	flags.StringVar(&o.app, "app", "", "the channels of this `APP` alone")
	flags.StringSliceVar(&o.subscribe, "subscribe", nil, "these channels alone: `PATTERN`; may be repeated")
	flags.StringSliceVar(&o.publish, "publish", nil, "these channels alone: `PATTERN`; may be repeated")
	flags.StringVar(&ended, "revoke", "", "end a `LOGIN`: a token, or the id that was printed with it")
	flags.BoolVar(&rotate, "rotate-key", false, "sign with a new key")
	socketFlag(c, &o.socket)
	jsonFlag(c, &o.json)
	c.MarkFlagsMutuallyExclusive("revoke", "rotate-key", "json")
	c.MarkFlagsMutuallyExclusive("realm", "group")
	return c
}

func (o *order) parse() (until time.Time, scope *channel.Scope, err error) {
	ttl, ok := config.ParseDuration(o.ttl)
	if !ok || ttl <= 0 || ttl > tokenauth.MaxTTL {
		return until, nil, fmt.Errorf("--ttl %q: write a duration up to 366d, such as 12h or 90d", o.ttl)
	}
	if o.app != "" {
		o.subscribe = append(o.subscribe, "/"+o.app+"/**")
		o.publish = append(o.publish, "/"+o.app+"/**")
	}
	if o.subscribe != nil || o.publish != nil {
		scope = &channel.Scope{}
		if scope.Subscribe, err = tokenauth.Patterns(o.subscribe); err == nil {
			scope.Publish, err = tokenauth.Patterns(o.publish)
		}
	}
	return time.Now().Add(ttl), scope, err
}

func (o *order) make(c *cobra.Command, user string, until time.Time, scope *channel.Scope) error {
	conf, err := o.load(c)
	if err != nil {
		return err
	}
	token, login, err := daemon.MakeToken(conf, o.signer, auth.Identity{User: user, Groups: o.groups, Realm: o.realm, Scope: scope}, until)
	if err != nil {
		return err
	}
	if o.json {
		return jsonOutcome(c, map[string]any{"token": token, "login": login.ID, "ends": login.Ends}, true)
	}
	fmt.Fprintf(c.ErrOrStderr(), "good until %s; \"orbitd token --revoke %s\" ends it before\n", moment(login.Ends), login.ID)
	_, err = fmt.Fprintln(c.OutOrStdout(), token)
	return err
}

// load reads the configuration as the daemon that runs with it does: where that keeps its
// key, the service manager says to it alone. If there is none that answers, it is as this
// shell says.
func (o *order) load(c *cobra.Command) (*config.Config, error) {
	conf, err := config.Load(o.file)
	if err != nil {
		return nil, err
	}
	socket := conf.Server.Control
	if c.Flags().Changed("socket") {
		socket = o.socket
	}
	if socket == "" {
		return conf, nil
	}
	s, err := admin.Client{Socket: socket}.Status(c.Context())
	if err != nil || s.State == "" || !sameFile(s.Config.Path, conf.File) {
		return conf, nil
	}
	return conf.In(s.State), nil
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(one, other)
}

func endLogin(c *cobra.Command, socket, login string) error {
	if err := (admin.Client{Socket: socket}).EndLogin(c.Context(), login); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.ErrOrStderr(), "ended")
	return err
}

func (o *order) rotateKey(c *cobra.Command) error {
	conf, err := o.load(c)
	if err != nil {
		return err
	}
	if err := daemon.RotateKey(conf); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.ErrOrStderr(), "a new key signs after \"orbitd reload\"")
	return err
}

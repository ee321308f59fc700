package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/config"
)

// A Found is a user, by the canonical name, with who has told of the groups.
type Found struct {
	Auth   config.Auth
	User   string
	Groups []string
}

// FindUser returns what the first of an application's authenticators that knows a
// user says, as at a login by that name, which is typed as it would be there. One that
// refuses the user, or cannot tell, ends the search, as it does there.
func FindUser(ctx context.Context, c *config.Config, app, user string) (Found, error) {
	var asked strings.Builder
	for _, a := range c.Auth {
		if !slices.Contains(c.Realm(app), a.Name) {
			continue
		}
		id, err := findUser(ctx, a, user)
		switch {
		case errors.Is(err, auth.ErrPass):
			fmt.Fprintf(&asked, "\nauth %q, %s:%d: %v", a.Name, c.File, a.Line, err)
		case errors.Is(err, auth.ErrDenied):
			return Found{}, fmt.Errorf("%s cannot log in: auth %q, %s:%d: %w; to ask what rules say all the same, give the groups with --group", user, a.Name, c.File, a.Line, err)
		case err != nil:
			return Found{}, fmt.Errorf("auth %q, %s:%d: %w", a.Name, c.File, a.Line, err)
		default:
			return Found{a, id.User, id.Groups}, nil
		}
	}
	return Found{}, fmt.Errorf("no authenticator of application %q knows %s; give the groups with --group%s", app, user, &asked)
}

func findUser(ctx context.Context, a config.Auth, user string) (*auth.Identity, error) {
	switch a.Type {
	case config.FileAuth:
		users, err := fileauth.New(fileauth.Options{Path: a.Path})
		if err != nil {
			return nil, err
		}
		return users.Find(ctx, user)
	case config.LDAPAuth:
		key, err := newDirectoryKey(a)
		if err != nil {
			return nil, err
		}
		d, err := key.open(nil, nil)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.Find(ctx, user)
	}
	return nil, fmt.Errorf("%w: it knows who brings a %s, and no list of users", auth.ErrPass, a.Type)
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/httpapi"
)

// rights are who may do what, as a configuration says, and who signs tokens.
type rights struct {
	broker.Rights
	issuer httpapi.Issuer // nil: nobody can log in
}

// newRights makes authenticators and rules of a configuration. It reads users'
// files and keys, and changes nothing that is in force.
func newRights(c *config.Config, log logrus.FieldLogger, now func() time.Time) (*rights, error) {
	r := &rights{}
	var members []auth.Named
	var errs []error
	for _, a := range c.Auth {
		member, err := r.authenticator(c, a, log, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("authenticator %q: %w", a.Name, err))
			continue
		}
		members = append(members, auth.Named{Name: a.Name, Authenticator: member})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r.Policy = c.Policy
	r.Auth = auth.NewChain(members, c.Realm)
	r.Storage = func(name channel.Name) engine.Rule {
		s := c.Storage(name)
		return engine.Rule{Memory: s.Memory, Age: s.Age, Messages: s.Messages, Bytes: s.Bytes}
	}
	return r, nil
}

func (r *rights) authenticator(c *config.Config, a config.Auth, log logrus.FieldLogger, now func() time.Time) (auth.Authenticator, error) {
	switch a.Type {
	case config.FileAuth:
		return fileauth.New(fileauth.Options{Path: a.Path, Logger: log})
	case config.TokenAuth:
		return r.tokens(c, a, now)
	}
	return nil, fmt.Errorf("type %q is unknown", a.Type)
}

func (r *rights) tokens(c *config.Config, a config.Auth, now func() time.Time) (auth.Authenticator, error) {
	key, err := tokenKey(c, a)
	if err != nil {
		return nil, err
	}
	t, err := tokenauth.New(tokenauth.Options{Key: key, Audience: a.Audience, TTL: a.TTL, Clock: now})
	if err != nil {
		return nil, err
	}
	if key.CanSign() && r.issuer == nil {
		r.issuer = t
	}
	return t, nil
}

// tokenKey returns the key that is configured, or else the daemon's own.
func tokenKey(c *config.Config, a config.Auth) (tokenauth.Key, error) {
	if a.Key.IsZero() {
		if err := os.MkdirAll(c.StateDirectory, 0o700); err != nil {
			return tokenauth.Key{}, fmt.Errorf("make the state directory: %w", err)
		}
		return tokenauth.LoadOrCreateKey(filepath.Join(c.StateDirectory, "token.key"))
	}
	text, err := a.Key.Read()
	if err != nil {
		return tokenauth.Key{}, err
	}
	return tokenauth.ParseKey(text)
}

// CheckRights returns what is wrong with what the configuration names for
// logins: users' files and keys. It makes no key.
func CheckRights(c *config.Config) (mistakes []error) {
	for _, a := range c.Auth {
		var err error
		switch {
		case a.Type == config.FileAuth:
			_, err = fileauth.New(fileauth.Options{Path: a.Path})
		case a.Type == config.TokenAuth && !a.Key.IsZero():
			_, err = tokenKey(c, a)
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("authenticator %q: %w", a.Name, err))
		}
	}
	return mistakes
}

// Groups returns the groups of a user as an application sees them: those that
// the first of its authenticators that knows the user gives.
func Groups(c *config.Config, app, user string) ([]string, error) {
	for _, a := range c.Auth {
		if a.Type != config.FileAuth || !slices.Contains(c.Realm(app), a.Name) {
			continue
		}
		users, err := fileauth.New(fileauth.Options{Path: a.Path})
		if err != nil {
			return nil, err
		}
		if id, err := users.Refresh(context.Background(), user); err == nil {
			return id.Groups, nil
		}
	}
	return nil, fmt.Errorf("no authenticator of application %q knows %s; give the groups with --group", app, user)
}

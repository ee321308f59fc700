package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/message"
)

// A Named is an authenticator under the name that configuration gives it.
type Named struct {
	Name string
	Authenticator
}

// A Chain asks authenticators in order until one says yes, says no, or cannot
// tell. It is immutable and may be used concurrently; it fails closed.
type Chain struct {
	members []Named
	realm   func(app string) []string
}

// NewChain returns a chain of members in their order. realm says which of them
// may vouch for logins to an application; nil means all of them may for each.
func NewChain(members []Named, realm func(app string) []string) *Chain {
	if realm == nil {
		names := make([]string, len(members))
		for i, m := range members {
			names[i] = m.Name
		}
		realm = func(string) []string { return names }
	}
	return &Chain{members: slices.Clone(members), realm: realm}
}

// Authenticate returns the identity that c proves, with its Realm. Its errors
// are *message.Error and fit for a peer: Unauthorized, or Unavailable if it
// could not be found out.
func (c *Chain) Authenticate(ctx context.Context, creds Credentials) (*Identity, error) {
	for _, m := range c.members {
		if !c.asks(m, creds) {
			continue
		}
		id, err := m.Authenticate(ctx, creds)
		switch {
		case errors.Is(err, ErrPass):
			continue
		case errors.Is(err, ErrDenied):
			return nil, unauthorized(fmt.Errorf("%s: %w", m.Name, err))
		case err != nil:
			return nil, message.Errorf(message.Unavailable, "logins cannot be checked at the moment; try again later").
				Because(fmt.Errorf("%s: %w", m.Name, err))
		}
		return c.admit(m, id, creds.App)
	}
	return nil, unauthorized(fmt.Errorf("%w by any authenticator", ErrPass))
}

// asks reports whether m is asked at all. A password goes only to those whose
// word counts. A token goes to all, for it may name another as its realm; see
// admit.
func (c *Chain) asks(m Named, creds Credentials) bool {
	return creds.Token != "" || c.Vouches(m.Name, creds.App)
}

// Vouches reports whether an identity of that realm counts in an application:
// what a broker asks about one that was not proven for this application. Every
// realm counts for no application in particular.
func (c *Chain) Vouches(realm, app string) bool {
	return app == "" || slices.Contains(c.realm(app), realm)
}

func (c *Chain) admit(m Named, id *Identity, app string) (*Identity, error) {
	if id == nil || id.User == "" {
		return nil, message.AsError(fmt.Errorf("authenticator %s named no user", m.Name))
	}
	proven := *id
	if proven.Realm == "" {
		proven.Realm = m.Name
	}
	if !c.Vouches(proven.Realm, app) {
		return nil, unauthorized(fmt.Errorf("realm %q does not vouch for application %q", proven.Realm, app))
	}
	return &proven, nil
}

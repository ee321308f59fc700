package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	enders  []Ender // those of them
	realm   func(app string) []string
	metrics *Metrics // nil: nothing is counted
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
	c := &Chain{members: slices.Clone(members), realm: realm}
	for _, m := range members {
		if e, ok := m.Authenticator.(Ender); ok {
			c.enders = append(c.enders, e)
		}
	}
	return c
}

// Authenticate returns the identity that c proves, with its Realm. Its errors
// are *message.Error and fit for a peer: Unauthorized, or Unavailable if it
// could not be found out. The bearer of a certificate that no authenticator takes for
// a user is anonymous, nil.
func (c *Chain) Authenticate(ctx context.Context, creds Credentials) (*Identity, error) {
	var seen []string // in a token, by those who look at tokens
	for i, m := range c.members {
		if !c.asks(m, creds) {
			continue
		}
		id, err := m.Authenticate(ctx, creds)
		switch {
		case errors.Is(err, ErrPass):
			if _, looks := m.Authenticator.(Prover); looks && creds.Token != "" {
				seen = append(seen, m.Name+strings.TrimPrefix(err.Error(), ErrPass.Error()))
			}
			continue
		case err != nil:
			if errors.Is(err, ErrDenied) {
				c.pretend(ctx, creds, i)
			}
			c.metrics.decided(m.Name, err)
			return nil, verdict(m.Name, err)
		}
		id, err = c.admit(ctx, m, id, creds.App)
		c.metrics.decided(m.Name, err)
		return id, err
	}
	if creds.OnlyCertificate() { // it was for the handshake alone
		return nil, nil
	}
	c.pretend(ctx, creds, len(c.members))
	c.metrics.decided(nobody, ErrPass)
	if creds.User != "" && creds.Token == "" {
		return nil, unauthorized(fmt.Errorf("user %q: %w by any authenticator", creds.User, ErrPass))
	}
	err := fmt.Errorf("%w by any authenticator", ErrPass)
	if len(seen) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.Join(seen, "; "))
	}
	return nil, unauthorized(err)
}

// pretend has those take their time with a password that have not refused it: the refused
// one has, by its place.
func (c *Chain) pretend(ctx context.Context, creds Credentials, refused int) {
	if creds.Token != "" || creds.User == "" {
		return // nobody guesses those
	}
	for i, m := range c.members {
		if p, ok := m.Authenticator.(Pretender); ok && i != refused && c.asks(m, creds) {
			p.Pretend(ctx, creds, i < refused)
		}
	}
}

// Counted has the chain's logins counted, and returns it.
func (c *Chain) Counted(m *Metrics) *Chain {
	c.metrics = m
	return c
}

// asks reports whether m is asked at all. A password goes only to those whose
// word counts. A token goes to all, for it may name another as its realm; see
// admit.
func (c *Chain) asks(m Named, creds Credentials) bool {
	return creds.Token != "" || c.Vouches(m.Name, creds.App)
}

// verdict returns what a peer is told about an error that ends the asking.
func verdict(name string, err error) *message.Error {
	err = fmt.Errorf("%s: %w", name, err)
	if errors.Is(err, ErrDenied) {
		return unauthorized(err)
	}
	return message.Errorf(message.Unavailable, "logins cannot be checked at the moment; try again later").Because(err)
}

// admit returns the identity that m found, if its realm may vouch for it. Where
// that is another than m, it is asked as well: a token must not outlive its user.
func (c *Chain) admit(ctx context.Context, m Named, id *Identity, app string) (*Identity, error) {
	if id == nil || id.User == "" {
		return nil, message.AsError(fmt.Errorf("authenticator %s named no user", m.Name))
	}
	proven := *id
	proven.By = m.Name
	if proven.Realm == "" {
		proven.Realm = m.Name
	}
	switch {
	case !c.Vouches(proven.Realm, app):
		return nil, unauthorized(fmt.Errorf("realm %q does not vouch for application %q", proven.Realm, app))
	case proven.Realm != m.Name:
		return c.Refresh(ctx, &proven)
	}
	return &proven, nil
}

// Refresh returns the identity as it is now: with the groups of today where its
// authenticator can tell, else as it was. Its errors are those of Authenticate;
// a user who is gone, or whose authenticator is, is Unauthorized, and so is one whose
// proof is not believed any more.
func (c *Chain) Refresh(ctx context.Context, id *Identity) (*Identity, error) {
	if c.Ended(id) {
		return nil, unauthorized(fmt.Errorf("the login %q of %q was ended", id.Login.ID, id.User))
	}
	if err := c.believes(ctx, id); err != nil {
		return nil, err
	}
	realm := c.member(id.Realm)
	if realm == nil {
		return nil, unauthorized(fmt.Errorf("there is no authenticator %q any more", id.Realm))
	}
	r, ok := realm.(Refresher)
	if !ok {
		return id, nil
	}
	now, err := r.Refresh(ctx, id.User)
	if err != nil {
		return nil, verdict(id.Realm, err)
	}
	fresh := *id
	fresh.Groups = now.Groups
	return &fresh, nil
}

// believes returns nil if what an identity rests on counts as it did.
func (c *Chain) believes(ctx context.Context, id *Identity) error {
	if id.Proof == "" {
		return nil
	}
	p, ok := c.member(id.By).(Prover)
	if !ok {
		return unauthorized(fmt.Errorf("there is no authenticator %q of tokens any more", id.By))
	}
	if err := p.Believes(ctx, id.Proof); err != nil {
		return verdict(id.By, err)
	}
	return nil
}

// member returns the authenticator of a name, or nil.
func (c *Chain) member(name string) Authenticator {
	for _, m := range c.members {
		if m.Name == name {
			return m.Authenticator
		}
	}
	return nil
}

// Ended reports whether the login that an identity belongs to was ended.
func (c *Chain) Ended(id *Identity) bool {
	return id.Login != nil && slices.ContainsFunc(c.enders, func(e Ender) bool { return e.Ended(id.Login.ID) })
}

// Vouches reports whether an identity of that realm counts in an application:
// what a broker asks about one that was not proven for this application. Every
// realm counts for no application in particular.
func (c *Chain) Vouches(realm, app string) bool {
	return app == "" || slices.Contains(c.realm(app), realm)
}

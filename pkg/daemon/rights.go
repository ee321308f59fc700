package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/certauth"
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
	issuer  httpapi.Issuer // nil: nobody can log in
	members []auth.Named

	kept   []kept
	before []kept // those of the configuration in force until now
}

// surroundings are what rights need of the daemon beside a configuration.
type surroundings struct {
	before  []kept // parts of the rights in force until now
	guard   *auth.Guard
	logins  *auth.Metrics
	believe func(shown []*x509.Certificate) (auth.Login, error)
	ended   func(login string) bool // by a certificate
	log     logrus.FieldLogger
	now     func() time.Time
}

func (d *Daemon) surroundings(before []kept) surroundings {
	return surroundings{before: before, guard: d.guard, logins: d.logins, believe: d.believe, ended: d.certificateEnded, log: d.log, now: d.now}
}

// newRights makes authenticators and rules of a configuration. It reads users'
// files and keys, and changes nothing that is in force. Directories and key sets of
// those in force are used on. Its error is of type [config.Problems] where it is
// about what is written there.
func newRights(c *config.Config, s surroundings) (*rights, error) {
	r := &rights{before: s.before}
	var problems config.Problems
	for _, a := range c.Auth {
		member, err := r.authenticator(c, a, s)
		if err != nil {
			problems = append(problems, mistakes(c, a, err)...)
			continue
		}
		r.members = append(r.members, auth.Named{Name: a.Name, Authenticator: member})
	}
	if len(problems) > 0 {
		r.discard()
		return nil, problems
	}
	r.Policy = c.Policy
	r.Auth = auth.NewChain(r.members, c.Realm).Counted(s.logins).Guard(s.guard)
	r.Storage = func(name channel.Name) engine.Rule {
		s := c.Storage(name)
		return engine.Rule{Memory: s.Memory, Age: s.Age, Messages: s.Messages, Bytes: s.Bytes}
	}
	r.Page, r.Quotas = c.PageAllowed, make(map[string]broker.Quota)
	for _, a := range c.Apps {
		if a.Quota != (config.Quota{}) {
			r.Quotas[a.Name] = broker.Quota(a.Quota)
		}
	}
	return r, nil
}

// discard closes what was made for rights that do not come into force.
func (r *rights) discard() { closeKept(r.kept, r.before) }

func (r *rights) authenticator(c *config.Config, a config.Auth, s surroundings) (auth.Authenticator, error) {
	switch a.Type {
	case config.FileAuth:
		return fileauth.New(fileauth.Options{Path: a.Path, Logger: s.log})
	case config.LDAPAuth:
		return r.directory(a, s.log, s.now)
	case config.TokenAuth:
		return r.tokens(c, a, s.log, s.now)
	case config.CertificateAuth:
		return certauth.New(certauth.Options{
			User: a.Certificate.User, Units: a.Certificate.Units, Believe: s.believe, Ended: s.ended,
		})
	}
	return nil, fmt.Errorf("type %q is unknown", a.Type)
}

// An issuer leaves the groups out of a token that is too long with them: where
// their realm can tell them again, it is asked whenever the token is shown.
type issuer struct {
	*tokenauth.Authenticator
	rights *rights
}

// Login is that of tokenauth.
func (i issuer) Login(id *auth.Identity) (tokenauth.Tokens, error) {
	return i.fitting(id, i.Authenticator.Login)
}

// Renew is that of tokenauth. The second attempt, with fewer groups, counts as that of
// a client which got no answer to the first.
func (i issuer) Renew(ctx context.Context, id *auth.Identity, renewal string) (tokenauth.Tokens, error) {
	return i.fitting(id, func(id *auth.Identity) (tokenauth.Tokens, error) { return i.Authenticator.Renew(ctx, id, renewal) })
}

func (i issuer) fitting(id *auth.Identity, issue func(*auth.Identity) (tokenauth.Tokens, error)) (tokenauth.Tokens, error) {
	tokens, err := issue(id)
	if !errors.Is(err, tokenauth.ErrTooLong) || !i.rights.refreshes(id.Realm) {
		return tokens, err
	}
	bare := *id
	bare.Groups = nil
	return issue(&bare)
}

// refreshes reports whether a realm can tell about its users again.
func (r *rights) refreshes(realm string) bool {
	return slices.ContainsFunc(r.members, func(m auth.Named) bool {
		_, ok := m.Authenticator.(auth.Refresher)
		return ok && m.Name == realm
	})
}

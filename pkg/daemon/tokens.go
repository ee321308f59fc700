package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// tokens returns an authenticator of type token. The first that can sign is the
// issuer.
func (r *rights) tokens(c *config.Config, a config.Auth, log logrus.FieldLogger, now func() time.Time) (auth.Authenticator, error) {
	o, err := tokenOptions(c, a, log)
	if err != nil {
		return nil, err
	}
	if a.Token.SetURL != "" {
		if o.Keys, err = r.remote(a, log); err != nil {
			return nil, err
		}
	}
	if o.Key.CanSign() {
		if o.Logins, err = r.logins(c, now); err != nil {
			return nil, err
		}
	}
	o.Clock = now
	t, err := tokenauth.New(o)
	if err != nil {
		return nil, err
	}
	if o.Key.CanSign() && r.issuer == nil {
		r.issuer = issuer{t, r}
	}
	return t, nil
}

// loginsIn is a folder in which it is kept which logins were ended.
type loginsIn string

// logins returns what is known of them: one for all authenticators, which lives on over
// reloads.
func (r *rights) logins(c *config.Config, now func() time.Time) (*tokenauth.Logins, error) {
	return keep(r, loginsIn(c.StateDirectory), func() (*tokenauth.Logins, error) {
		folder, err := vfs.OpenDir(c.StateDirectory)
		if err != nil {
			return nil, fmt.Errorf("make the state directory: %w", err)
		}
		return tokenauth.OpenLogins(folder, now)
	})
}

// tokenOptions reads the keys of an authenticator, but for those of a URL.
func tokenOptions(c *config.Config, a config.Auth, log logrus.FieldLogger) (o tokenauth.Options, err error) {
	t := a.Token
	o = tokenauth.Options{Audience: t.Audience, Issuer: t.Issuer, Leeway: orNone(t.Leeway), TTL: t.TTL, LoginTTL: t.LoginTTL, Names: tokenauth.Names{User: t.User, Groups: t.Groups, Scope: t.Scope}}
	switch {
	case t.SetURL != "":
	case !t.Set.IsZero():
		o.Keys, err = keySet(t, log.WithField("auth", a.Name))
	default:
		o.Key, o.Before, err = tokenKeys(c, t)
	}
	return o, err
}

func makeState(c *config.Config) error {
	if err := os.MkdirAll(c.StateDirectory, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	return nil
}

// ownKey is where the daemon keeps the key that it has made itself.
func ownKey(c *config.Config) string { return filepath.Join(c.StateDirectory, "token.key") }

// tokenKeys returns the key that is configured, or else the daemon's own, and those
// that signed before it.
func tokenKeys(c *config.Config, t config.Token) (key tokenauth.Key, before tokenauth.Set, err error) {
	if t.Key.IsZero() {
		if err := makeState(c); err != nil {
			return key, nil, err
		}
		return tokenauth.LoadOrCreateKeys(ownKey(c))
	}
	text, err := t.Key.Read()
	if err != nil {
		return key, nil, err
	}
	if t.Algorithm == config.HS256 {
		key, err = tokenauth.Secret(text)
	} else {
		key, before, err = tokenauth.ParseKeys(text)
	}
	switch {
	case err != nil:
	case t.Algorithm != "" && t.Algorithm != key.Algorithm():
		err = fmt.Errorf("token key: it is one of %s, and algorithm says %s", key.Algorithm(), t.Algorithm)
	case key.Confidential():
		err = unshared(t.Key)
	}
	return key, before, err
}

// unshared refuses a file with a key that signs and that everybody on the host could have
// read.
func unshared(file config.Secret) error {
	shared, err := file.Shared()
	if shared {
		return fmt.Errorf("token key: %s: %w", file, errShared)
	}
	return err
}

var errShared = errors.New("everybody on this host can read or change it")

// keySet returns the keys of a file.
func keySet(t config.Token, log logrus.FieldLogger) (tokenauth.Set, error) {
	text, err := t.Set.Read()
	if err != nil {
		return nil, err
	}
	keys, leftOut, err := tokenauth.ParseSet(text, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Set, err)
	}
	if keys = keys.Of(t.Algorithm); len(keys) == 0 {
		return nil, fmt.Errorf("%s: there is no key for tokens in it: %w", t.Set, errors.Join(leftOut...))
	}
	for _, why := range leftOut {
		log.WithError(why).Warn("a key of the set is not used")
	}
	if slices.ContainsFunc(keys, tokenauth.Key.Confidential) {
		return keys, unshared(t.Set)
	}
	return keys, nil
}

// A remoteKey is all that the key set of an issuer is made of.
type remoteKey struct {
	name, url, algorithm, ca string
	refresh                  time.Duration
}

// remote returns the key set that an issuer publishes.
func (r *rights) remote(a config.Auth, log logrus.FieldLogger) (*tokenauth.Remote, error) {
	key := remoteKey{name: a.Name, url: a.Token.SetURL, algorithm: a.Token.Algorithm, refresh: a.Token.Refresh}
	if a.Token.CA != "" {
		ca, err := os.ReadFile(a.Token.CA)
		if err != nil {
			return nil, fmt.Errorf("read jwks_ca: %w", err)
		}
		key.ca = string(ca)
	}
	trusted, err := roots(a.Token.CA, key.ca)
	if err != nil {
		return nil, err
	}
	// What was believed by the same word is, until that is heard again.
	before := former[*tokenauth.Remote](r, func(k remoteKey) bool { return k.name == key.name && k.url == key.url && k.ca == key.ca })
	return keep(r, key, func() (*tokenauth.Remote, error) {
		return tokenauth.NewRemote(tokenauth.RemoteOptions{
			URL: key.url, Algorithm: key.algorithm, Roots: trusted, Refresh: key.refresh, Before: before, Logger: log.WithField("auth", a.Name),
		})
	})
}

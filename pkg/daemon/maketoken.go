package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/config"
)

// MakeToken returns a token for an identity, without a daemon: whoever can read the key
// that signs may. signer is the name of an [[auth]] of type token, "" the first that
// can sign. An identity without a realm is vouched for by the signer alone, else its
// realm is asked about the user whenever the token is shown.
func MakeToken(c *config.Config, signer string, id auth.Identity, until time.Time) (token string, login auth.Login, err error) {
	a, o, err := findSigner(c, signer)
	if err != nil {
		return "", auth.Login{}, err
	}
	if id.Realm == "" {
		id.Realm = a.Name
	}
	if !known(c, id.Realm) {
		return "", auth.Login{}, fmt.Errorf("no [[auth]] has the name %q", id.Realm)
	}
	tokens, err := tokenauth.New(o)
	if err != nil {
		return "", auth.Login{}, err
	}
	return tokens.Make(&id, until)
}

func known(c *config.Config, realm string) bool {
	for _, a := range c.Auth {
		if a.Name == realm {
			return true
		}
	}
	return false
}

// findSigner returns an authenticator whose key signs, with it.
func findSigner(c *config.Config, name string) (config.Auth, tokenauth.Options, error) {
	var none config.Auth
	for _, a := range c.Auth {
		if a.Type != config.TokenAuth || a.Token.SetURL != "" || name != "" && a.Name != name {
			continue
		}
		if a.Token.Own() && !isThere(ownKey(c)) {
			return none, tokenauth.Options{}, fmt.Errorf("there is no key that signs: %s\nhint: the daemon makes it at its first start; be root, or the daemon's user, to see it; where its unit names a folder for it (StateDirectory=), the daemon has to run", ownKey(c))
		}
		o, err := tokenOptions(c, a, logrus.New())
		if err != nil {
			return none, tokenauth.Options{}, err
		}
		if o.Key.CanSign() {
			return a, o, nil
		}
	}
	return none, tokenauth.Options{}, fmt.Errorf("%s has no such [[auth]] of type \"token\" that signs\nhint: one without key and jwks does, or one with a private key", c.File)
}

// RotateKey has the daemon's own key followed by a fresh one, from its next reload on.
// The tokens of the key before are good until they end; those of the one before that
// are not.
func RotateKey(c *config.Config) error {
	err := tokenauth.RotateKey(ownKey(c))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w\nhint: the daemon makes it at its first start; a key that is configured is changed where it came from", err)
	}
	return err
}

// EndLogin implements admin.Controlled.
func (d *Daemon) EndLogin(ctx context.Context, login string) error {
	issuer := d.currentIssuer()
	if issuer == nil {
		return errors.New("no [[auth]] of this server signs tokens, so it has no logins")
	}
	l := &auth.Login{ID: login, Ends: d.now().Add(tokenauth.MaxTTL)}
	if strings.Contains(login, ".") {
		var err error
		if l, err = issuer.LoginOf(ctx, login); err != nil {
			return err
		}
	}
	if !tokenauth.IsLogin(l.ID) {
		return errors.New("that is neither a token nor the id of a login, as \"orbitd token\" prints it")
	}
	if err := issuer.End(*l); err != nil {
		return err
	}
	d.log.WithField("login", l.ID).Info("a login was ended over the control socket")
	return d.everybody().loginEnded(ctx, l.ID)
}

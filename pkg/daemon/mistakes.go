package daemon

import (
	"errors"
	"fmt"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/tlsconf"
)

// CheckRights returns what is wrong with what the configuration names for
// logins: users' files, keys, directories, and whose clients are believed. It makes no
// key.
func CheckRights(c *config.Config) (problems config.Problems) {
	if c.TLS.ClientCA != "" {
		if _, err := tlsconf.LoadClients(c.TLS.ClientCA, c.TLS.ClientCRL, c.TLS.ClientRequired); err != nil {
			problems = append(problems, config.Problem{
				File: c.File, Text: "tls.client_ca: " + err.Error(),
				Hint: "name files in PEM form: the authorities that have signed the clients' certificates, and in client_crl the lists that they have signed",
			})
		}
	}
	for _, a := range c.Auth {
		var err error
		switch {
		case a.Type == config.FileAuth:
			_, err = fileauth.New(fileauth.Options{Path: a.Path})
		case a.Type == config.TokenAuth:
			err = checkTokens(c, a)
		case a.Type == config.LDAPAuth:
			err = checkDirectory(a)
		}
		if err != nil {
			problems = append(problems, mistakes(c, a, err)...)
		}
	}
	return problems
}

// checkTokens returns what is wrong with the keys of tokens. It asks no issuer, and
// a key that the daemon would make is right.
func checkTokens(c *config.Config, a config.Auth) error {
	if a.Token.Own() && !isThere(ownKey(c)) {
		return nil
	}
	silent := logrus.New()
	silent.SetLevel(logrus.PanicLevel)
	o, err := tokenOptions(c, a, silent)
	if err == nil && a.Token.SetURL == "" {
		_, err = tokenauth.New(o)
	}
	return err
}

// checkDirectory returns what is wrong with the settings of a directory. It asks
// none. A credential of the daemon's unit is not there outside of it.
func checkDirectory(a config.Auth) error {
	key, err := newDirectoryKey(a)
	if errors.Is(err, config.ErrNoCredentials) {
		key.password, err = "unknown", nil
	}
	if err == nil {
		_, err = key.open(nil, nil)
	}
	return err
}

// isThere reports whether a file exists, as far as this process may see that.
func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// mistakes returns why an authenticator could not be made, each with its place:
// a line of the users' file, or else where the authenticator is configured.
func mistakes(c *config.Config, a config.Auth, err error) (problems config.Problems) {
	label := fmt.Sprintf("auth %q: ", a.Name)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if l, ok := errors.AsType[*fileauth.LineError](err); ok {
				problems = append(problems, config.Problem{
					File: l.File, Line: l.Line, Text: label + l.Text,
					Hint: fmt.Sprintf("correct or remove the line; \"orbitd passwd --file %s NAME\" writes one", l.File),
				})
			}
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return config.Problems{{File: c.File, Line: a.Line, Text: label + err.Error(), Hint: authHint(a, err)}}
}

func authHint(a config.Auth, err error) string {
	switch {
	case errors.Is(err, tokenauth.ErrDamaged):
		return "restore the file; or remove it, and with it the key that signs: everybody has to log in again then"
	case errors.Is(err, errShared):
		return "make a new key, or chmod o-rwx if nobody has read or changed this one"
	case a.Type == config.FileAuth:
		return fmt.Sprintf("make %s readable for orbitd", a.Path)
	case a.Type == config.LDAPAuth:
		return "see orbitd.toml(5), [[auth]] of type ldap"
	case a.Token.Own():
		return "make the file right, or remove it: the daemon makes another, and who is logged in logs in again"
	}
	return `name a private key, such as "openssl genpkey -algorithm ed25519" makes, or the key of who issues the tokens: see orbitd.toml(5), [[auth]]`
}

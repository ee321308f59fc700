package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/pkg/config"
)

// A directoryKey is all that an authenticator of type ldap is made of. A reload that
// changes none of it keeps the authenticator, with its connections and what it knows
// of users: else a directory that is down at a reload would be one without a grace.
type directoryKey struct {
	name         string
	config       config.LDAP
	password, ca string
}

// directory returns the authenticator of a configuration.
func (r *rights) directory(a config.Auth, log logrus.FieldLogger, now func() time.Time) (*ldapauth.Authenticator, error) {
	key, err := newDirectoryKey(a)
	if err != nil {
		return nil, err
	}
	return keep(r, key, func() (*ldapauth.Authenticator, error) {
		made, err := key.open(log.WithField("auth", a.Name), now)
		if err == nil && !a.LDAP.StartTLS && slices.ContainsFunc(a.LDAP.URLs, func(u string) bool { return strings.HasPrefix(u, "ldap://") }) {
			log.WithField("auth", a.Name).Warn("passwords travel to the directory in clear text, because start_tls is false")
		}
		return made, err
	})
}

// newDirectoryKey reads what stands outside of the configuration.
func newDirectoryKey(a config.Auth) (directoryKey, error) {
	k := directoryKey{name: a.Name, config: a.LDAP}
	if !a.LDAP.BindPassword.IsZero() {
		password, err := a.LDAP.BindPassword.Read()
		if err != nil {
			return k, err
		}
		k.password = string(password)
	}
	if a.LDAP.CA != "" {
		ca, err := os.ReadFile(a.LDAP.CA)
		if err != nil {
			return k, fmt.Errorf("read ca: %w", err)
		}
		k.ca = string(ca)
	}
	return k, nil
}

func (k directoryKey) open(log logrus.FieldLogger, now func() time.Time) (*ldapauth.Authenticator, error) {
	o, err := k.options()
	if err != nil {
		return nil, err
	}
	o.Logger, o.Now = log, now
	return ldapauth.New(o)
}

func (k directoryKey) options() (ldapauth.Options, error) {
	c := k.config
	o := ldapauth.Options{
		URLs: c.URLs, Referrals: c.Referrals, PlainText: !c.StartTLS, BindDN: c.BindDN, BindPassword: k.password,
		TLS:      &tls.Config{ServerName: c.ServerName},
		UserBase: c.UserBase, UserFilter: c.UserFilter, UserDN: c.UserDN, UserName: c.UserName,
		GroupBase: c.GroupBase, GroupFilter: c.GroupFilter, GroupName: c.GroupName, MemberOf: c.MemberOf,
		DialTimeout: c.DialTimeout, OperationTimeout: c.OperationTimeout, LoginTimeout: c.LoginTimeout, Connections: c.Connections,
		Refresh: c.Refresh, Grace: orNone(c.Grace), Remember: orNone(c.Remember), RememberWrong: orNone(c.RememberWrong),
		Nested: map[string]string{config.Recursive: ldapauth.Recursive, config.MatchingRule: ldapauth.MatchingRule}[c.Nested],
	}
	var err error
	o.TLS.RootCAs, err = roots(c.CA, k.ca)
	return o, err
}

// roots returns the certificates of a file, nil where there is none.
func roots(path, text string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, fmt.Errorf("there is no certificate in %s", path)
	}
	return pool, nil
}

// orNone returns a duration as the authenticators' options have it, where 0 is the default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

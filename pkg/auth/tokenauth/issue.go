package tokenauth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth"
)

// ErrTooLong says that an identity has too many groups for a token.
var ErrTooLong = errors.New("too many groups for a token")

// claims are what a token says that is issued here.
type claims struct {
	jwt.RegisteredClaims
	Groups []string `json:"groups,omitempty"`
	Realm  string   `json:"realm"` // realmClaim
}

// Issue returns a token for an identity, and when it ends: after the TTL, or
// when the identity does if that is sooner.
func (a *Authenticator) Issue(id *auth.Identity) (token string, expires time.Time, err error) {
	switch {
	case !a.o.Key.CanSign():
		return "", time.Time{}, errors.New("issue token: the key is a public one")
	case id == nil || id.User == "" || id.Realm == "":
		return "", time.Time{}, errors.New("issue token: no user or no realm")
	}
	now := a.o.Clock()
	expires = now.Add(a.o.TTL)
	// The skew that Authenticate allows is taken off, so that tokens for tokens
	// do not outlive the first one.
	if end := id.Expires.Add(-a.o.Leeway); !id.Expires.IsZero() && end.Before(expires) {
		expires = end
	}
	expires = expires.Truncate(time.Second)
	token, err = jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: Issuer, Subject: id.User, Audience: jwt.ClaimStrings{a.o.Audience}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Groups: id.Groups, Realm: id.Realm,
	}).SignedString(a.o.Key.private)
	switch {
	case err != nil:
		return "", time.Time{}, fmt.Errorf("issue token: %w", err)
	case len(token) > MaxLength:
		return "", time.Time{}, fmt.Errorf("issue token: %w: with %d it is longer than %d bytes", ErrTooLong, len(id.Groups), MaxLength)
	}
	return token, expires, nil
}

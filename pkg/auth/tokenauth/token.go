package tokenauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth"
)

const (
	// MaxLength bounds a token, in bytes, before anything in it is looked at.
	MaxLength = 8 << 10
	// Skew is how far the clocks of those who issue and check may differ.
	Skew = time.Minute
	// Issuer is what a server names itself in the tokens that it issues.
	Issuer = "orbitd"
	// DefaultTTL is how long an issued token is good for.
	DefaultTTL = 12 * time.Hour
	// DefaultAudience is whom tokens are for.
	DefaultAudience = "orbitd"
)

// Options are what an Authenticator needs. Key is required.
type Options struct {
	Key      Key
	Audience string           // default: DefaultAudience
	TTL      time.Duration    // default: DefaultTTL
	Clock    func() time.Time // default: time.Now
}

// An Authenticator checks tokens and issues them. It is immutable and may be
// used concurrently.
type Authenticator struct {
	o      Options
	parser *jwt.Parser
}

var _ auth.Authenticator = (*Authenticator)(nil)

// claims are what a token says. Realm is the authenticator that the bearer
// logged in with; it counts only where the key is our own.
type claims struct {
	jwt.RegisteredClaims
	Groups []string `json:"groups,omitempty"`
	Realm  string   `json:"realm,omitempty"`
}

// New returns an authenticator for one key.
func New(o Options) (*Authenticator, error) {
	if o.Key.public == nil {
		return nil, errors.New("tokenauth: no key")
	}
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	checks := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithAudience(o.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(),
		jwt.WithLeeway(Skew),
		jwt.WithTimeFunc(o.Clock),
	}
	if o.Key.CanSign() {
		checks = append(checks, jwt.WithIssuer(Issuer))
	}
	return &Authenticator{o: o, parser: jwt.NewParser(checks...)}, nil
}

// Authenticate returns the identity that a token carries. A token that is not
// one of this key's is auth.ErrPass, for another key may have signed it; one of
// this key's that is not good (any more) is auth.ErrDenied.
func (a *Authenticator) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	switch {
	case c.Token == "":
		return nil, fmt.Errorf("%w: no token", auth.ErrPass)
	case len(c.Token) > MaxLength:
		return nil, fmt.Errorf("%w: a token of %d bytes; the limit is %d", auth.ErrDenied, len(c.Token), MaxLength)
	case strings.ContainsFunc(c.Token, notOfTokens):
		return nil, fmt.Errorf("%w: no token has such characters", auth.ErrPass)
	}
	var said claims
	_, err := a.parser.ParseWithClaims(c.Token, &said, func(*jwt.Token) (any, error) { return a.o.Key.public, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return nil, fmt.Errorf("%w: %w", auth.ErrDenied, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", auth.ErrPass, err)
	case said.Subject == "":
		return nil, fmt.Errorf("%w: the token names no user", auth.ErrDenied)
	}
	id := &auth.Identity{User: said.Subject, Groups: said.Groups, Expires: said.ExpiresAt.Add(Skew)}
	if a.o.Key.CanSign() {
		id.Realm = said.Realm
	}
	return id, nil
}

// notOfTokens reports runes that stand in no token. The decoder of base64 lets
// newlines pass; of each token there shall be one form.
func notOfTokens(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

// ErrTooLong says that an identity has too many groups for a token.
var ErrTooLong = errors.New("too many groups for a token")

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
	if end := id.Expires.Add(-Skew); !id.Expires.IsZero() && end.Before(expires) {
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

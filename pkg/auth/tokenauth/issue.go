package tokenauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/channel"
)

// ErrTooLong says that an identity has too many groups for a token.
var ErrTooLong = errors.New("too many groups for a token")

// What our own tokens say beside what is registered, and the type of those that renew.
const (
	realmClaim  = "realm"    // the authenticator that the bearer logged in with
	loginClaim  = "login"    // what all tokens of one login have in common
	endsClaim   = "ends"     // when the last of them ends at the latest
	scopeClaim  = "channels" // what the token is for
	renewalType = "refresh+jwt"
)

// claims are what a token says that is issued here.
type claims struct {
	jwt.RegisteredClaims
	Realm   string              `json:"realm"`
	Login   string              `json:"login"`
	Ends    int64               `json:"ends"`
	Groups  []string            `json:"groups,omitempty"`
	Scope   map[string][]string `json:"channels,omitempty"`
	Renewal *uint32             `json:"renewal,omitempty"` // the how manieth, of one that renews
}

// Tokens are what a login gets.
type Tokens struct {
	Token   string
	Expires time.Time
	// Renewal is a token that gets the next ones, once; empty where Token is as good
	// for as long.
	Renewal string
	Ends    time.Time // of the login, and of Renewal
}

// Login returns the first tokens of a login by an identity that was just proven. It
// ends after the LoginTTL, or when the identity does if that is sooner. What costs
// something is stored when a login is renewed or ended; this stores nothing. See
// ErrTooMany.
func (a *Authenticator) Login(id *auth.Identity) (Tokens, error) {
	if err := a.canIssue(id); err != nil {
		return Tokens{}, err
	}
	of := userOf(id.Realm, id.User)
	if a.o.Logins != nil && a.o.Logins.Full(of) {
		return Tokens{}, fmt.Errorf("log %q in: %w", id.User, ErrTooMany)
	}
	ends := a.until(id, a.o.Clock().Add(max(a.o.LoginTTL, a.o.TTL)))
	fresh := *id
	fresh.Login = &auth.Login{ID: rand.Text(), Ends: ends, Of: of}
	return a.tokens(&fresh, 0)
}

// Renew returns the next tokens of a login, for the identity that a token which renews
// has proven. Whoever comes with the same token later than a minute after gets none,
// and nor does anybody else of that login any more: see ErrReused, and ErrTooMany.
func (a *Authenticator) Renew(ctx context.Context, id *auth.Identity, renewal string) (Tokens, error) {
	if err := a.canIssue(id); err != nil {
		return Tokens{}, err
	}
	if a.o.Logins == nil {
		return Tokens{}, errors.New("renew a login: there is no place to store that")
	}
	said, _, err := a.verify(ctx, renewal)
	if err != nil {
		return Tokens{}, fmt.Errorf("renew a login: %w", err)
	}
	n, ok := said["renewal"].(float64)
	if !ok || n < 0 || n >= math.MaxUint32 || id.Login == nil || said[loginClaim] != id.Login.ID {
		return Tokens{}, fmt.Errorf("%w: the token renews another login, or none", auth.ErrDenied)
	}
	next, err := a.o.Logins.Renew(*id.Login, uint32(n))
	if err != nil {
		return Tokens{}, fmt.Errorf("renew a login of %q: %w", id.User, err)
	}
	return a.tokens(id, next)
}

// End ends a login: none of its tokens is good any more. That is on the disk when it
// returns.
func (a *Authenticator) End(l auth.Login) error {
	if a.o.Logins == nil {
		return errors.New("end a login: there is no place to store that")
	}
	return a.o.Logins.End(l)
}

// LoginOf returns the login that a token belongs to, of either kind, if it is good and
// one of this server's own. Nobody else is asked, so that a login can be ended while a
// directory is down.
func (a *Authenticator) LoginOf(ctx context.Context, token string) (*auth.Login, error) {
	id, err := a.Authenticate(ctx, auth.Credentials{Token: token})
	if err != nil {
		id, err = a.Authenticate(ctx, auth.Credentials{Token: token, Renewing: true})
	}
	switch {
	case err != nil:
		return nil, err
	case id.Login == nil:
		return nil, fmt.Errorf("%w: the token belongs to no login", auth.ErrPass)
	}
	return id.Login, nil
}

// Make returns a token for an identity that nobody has to prove: one that an operator
// hands out. It is good until then, and cannot be renewed.
func (a *Authenticator) Make(id *auth.Identity, until time.Time) (token string, login auth.Login, err error) {
	if err := a.canIssue(id); err != nil {
		return "", auth.Login{}, err
	}
	if _, err := (Names{User: "sub"}).user(jwt.MapClaims{"sub": id.User}); err != nil {
		return "", auth.Login{}, fmt.Errorf("issue token: %w", err)
	}
	fresh := *id
	fresh.Login = &auth.Login{ID: rand.Text(), Ends: until.Truncate(time.Second), Of: userOf(id.Realm, id.User)}
	token, err = a.sign(&fresh, fresh.Login.Ends, nil)
	return token, *fresh.Login, err
}

func (a *Authenticator) canIssue(id *auth.Identity) error {
	switch {
	case !a.o.Key.CanSign():
		return errors.New("issue token: the key is a public one")
	case id == nil || id.User == "" || id.Realm == "":
		return errors.New("issue token: no user or no realm")
	}
	return nil
}

// until returns when what is issued for an identity ends: with it at the latest. The
// skew that Authenticate allows is taken off, so that tokens for tokens do not outlive
// the first one.
func (a *Authenticator) until(id *auth.Identity, otherwise time.Time) time.Time {
	if end := id.Expires.Add(-a.o.Leeway); !id.Expires.IsZero() && end.Before(otherwise) {
		otherwise = end
	}
	return otherwise.Truncate(time.Second)
}

// tokens returns those of a login behind its nth renewal.
func (a *Authenticator) tokens(id *auth.Identity, n uint32) (t Tokens, err error) {
	t.Ends = id.Login.Ends
	if t.Expires = a.o.Clock().Add(a.o.TTL).Truncate(time.Second); t.Ends.Before(t.Expires) {
		t.Expires = t.Ends
	}
	if t.Token, err = a.sign(id, t.Expires, nil); err != nil || a.o.Logins == nil || !t.Expires.Before(t.Ends) {
		return t, err
	}
	bare := *id
	bare.Groups = nil // they are looked up at each renewal
	t.Renewal, err = a.sign(&bare, t.Ends, &n)
	return t, err
}

// sign returns a token of a login; renewal is the number of one that renews.
func (a *Authenticator) sign(id *auth.Identity, expires time.Time, renewal *uint32) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: Issuer, Subject: id.User, Audience: jwt.ClaimStrings{a.o.Audience}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(a.o.Clock()), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Realm: id.Realm, Login: id.Login.ID, Ends: id.Login.Ends.Unix(), Groups: id.Groups, Scope: written(id.Scope), Renewal: renewal,
	})
	t.Header["kid"] = a.o.Key.id
	if renewal != nil {
		t.Header["typ"] = renewalType
	}
	token, err := t.SignedString(a.o.Key.private)
	switch {
	case err != nil:
		return "", fmt.Errorf("issue token: %w", err)
	case len(token) > MaxLength:
		return "", fmt.Errorf("issue token: %w: with %d it is longer than %d bytes", ErrTooLong, len(id.Groups), MaxLength)
	}
	return token, nil
}

// written returns a scope as a token has it.
func written(s *channel.Scope) map[string][]string {
	if s == nil {
		return nil
	}
	texts := func(patterns []channel.Pattern) []string {
		list := make([]string, len(patterns))
		for i, p := range patterns {
			list[i] = p.String()
		}
		return list
	}
	return map[string][]string{"subscribe": texts(s.Subscribe), "publish": texts(s.Publish)}
}

// loginOf returns the login that a token of our own belongs to. Those of before there
// were logins belong to none.
func loginOf(claims jwt.MapClaims, realm, user string, expires time.Time) *auth.Login {
	id, _ := claims[loginClaim].(string)
	if id == "" {
		return nil
	}
	l := &auth.Login{ID: id, Ends: expires, Of: userOf(realm, user)}
	if ends, ok := claims[endsClaim].(float64); ok && ends > float64(expires.Unix()) && ends < latestTime {
		l.Ends = time.Unix(int64(ends), 0)
	}
	return l
}

// IsLogin reports whether a text could be the id of a login, as crypto/rand.Text makes
// them.
func IsLogin(id string) bool {
	return len(id) == loginLength && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

const loginLength = 26

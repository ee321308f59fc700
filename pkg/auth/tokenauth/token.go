package tokenauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/auth"
)

const (
	// MaxLength bounds a token, in bytes, before anything in it is looked at.
	MaxLength = 8 << 10
	// Skew is how far the clocks of those who issue and check may differ by default.
	Skew = time.Minute
	// MaxLeeway bounds that.
	MaxLeeway = 10 * time.Minute
	// Issuer is what a server names itself in the tokens that it issues.
	Issuer = "orbitd"
	// DefaultTTL is how long an issued token is good for.
	DefaultTTL = time.Hour
	// DefaultLoginTTL is for how long a login can be renewed.
	DefaultLoginTTL = 30 * 24 * time.Hour
	// MaxTTL bounds how long any issued token is good for.
	MaxTTL = 366 * 24 * time.Hour
	// DefaultAudience is whom tokens are for.
	DefaultAudience = "orbitd"
)

// Options are what an Authenticator needs: Key or Keys.
type Options struct {
	// Key checks tokens; a private one also signs them, and is then the only one
	// but for those before it.
	Key Key
	// Before are keys that have signed tokens before Key did: these are still good.
	Before Set
	// Keys check tokens of another issuer.
	Keys Keys
	// Issuer is who must have issued the tokens. Empty: whoever has signed them.
	// Those of a private key are this server's own.
	Issuer   string
	Audience string        // default: DefaultAudience
	Names    Names         // of the claims, in tokens of others
	Leeway   time.Duration // how far clocks may differ; default: Skew, negative: not at all
	TTL      time.Duration // of issued tokens; default: DefaultTTL
	LoginTTL time.Duration // of what they are renewed for; default: DefaultLoginTTL
	// Logins know which were ended; without them none can be renewed or ended.
	Logins *Logins
	Clock  func() time.Time // default: time.Now
}

// An Authenticator checks tokens and issues them. It is immutable and may be
// used concurrently.
type Authenticator struct {
	o      Options
	parser *jwt.Parser
}

var (
	_ auth.Authenticator = (*Authenticator)(nil)
	_ auth.Ender         = (*Authenticator)(nil)
	_ auth.Prover        = (*Authenticator)(nil)
)

// New returns an authenticator.
func New(o Options) (*Authenticator, error) {
	switch {
	case (o.Key.verify == nil) == (o.Keys == nil):
		return nil, errors.New("tokenauth: no key, or both one and a set")
	case o.Key.CanSign() && (o.Issuer != "" || o.Names != Names{}):
		return nil, errors.New("tokenauth: issuer and names of claims are for tokens of others; those of a private key are this server's own")
	}
	o.Audience = cmp.Or(o.Audience, DefaultAudience)
	o.Names = o.Names.orDefault()
	o.TTL, o.LoginTTL, o.Leeway = cmp.Or(o.TTL, DefaultTTL), cmp.Or(o.LoginTTL, DefaultLoginTTL), cmp.Or(o.Leeway, Skew)
	o.Leeway = max(o.Leeway, 0)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Key.CanSign() {
		o.Issuer = Issuer
	}
	if o.Keys == nil {
		o.Keys = append(Set{o.Key}, o.Before...)
	}
	checks := []jwt.ParserOption{
		jwt.WithValidMethods(Algorithms),
		jwt.WithAudience(o.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(),
		jwt.WithLeeway(o.Leeway),
		jwt.WithTimeFunc(o.Clock),
	}
	return &Authenticator{o: o, parser: jwt.NewParser(checks...)}, nil
}

// Authenticate returns the identity that a token carries. A token that is not
// one of these keys' or of another issuer is auth.ErrPass, for another authenticator
// may know it; one of these keys' that is not good (any more) is auth.ErrDenied.
func (a *Authenticator) Authenticate(ctx context.Context, c auth.Credentials) (*auth.Identity, error) {
	switch {
	case c.Token == "":
		return nil, fmt.Errorf("%w: no token", auth.ErrPass)
	case len(c.Token) > MaxLength:
		return nil, fmt.Errorf("%w: a token of %d bytes; the limit is %d", auth.ErrDenied, len(c.Token), MaxLength)
	case strings.ContainsFunc(c.Token, notOfTokens):
		return nil, fmt.Errorf("%w: no token has such characters", auth.ErrPass)
	}
	said, err := peek(c.Token)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", auth.ErrPass, err)
	case c.Renewing && !a.o.Key.CanSign():
		return nil, fmt.Errorf("%w: its tokens renew nothing here", auth.ErrPass)
	case a.o.Issuer != "" && said.claims["iss"] != a.o.Issuer:
		return nil, fmt.Errorf("%w: the token is of %s, not of %q", auth.ErrPass, issuerOf(said.claims), a.o.Issuer)
	}
	claims, by, err := a.verify(ctx, c.Token)
	if err != nil {
		return nil, err
	}
	types := accessTypes
	if c.Renewing {
		types = renewalTypes
	}
	id, err := a.identity(claims)
	if err = errors.Join(said.check(types), err); err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrDenied, err)
	}
	id.Proof = a.proof(by)
	return id, nil
}

// proof names what a token by a key is believed for: the key, as one of this issuer and
// for this audience.
func (a *Authenticator) proof(by Key) string {
	return fingerprint(a.o.Issuer+"\x00"+a.o.Audience, []byte(by.print))
}

// Believes reports whether the key of a token that was good still is one of these.
func (a *Authenticator) Believes(ctx context.Context, proof string) error {
	keys, err := a.o.Keys.All(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errKeys, err)
	}
	if !slices.ContainsFunc(keys, func(k Key) bool { return a.proof(k) == proof }) {
		return fmt.Errorf("%w: the key that has signed the token does not count any more", auth.ErrDenied)
	}
	return nil
}

// Changed receives when keys have left the set that an issuer publishes.
func (a *Authenticator) Changed() <-chan struct{} {
	if r, ok := a.o.Keys.(*Remote); ok {
		return r.Gone()
	}
	return nil
}

// issuerOf returns whom a token names as its issuer, for people.
func issuerOf(claims map[string]any) string {
	name, ok := claims["iss"].(string)
	if !ok {
		return "no issuer"
	}
	return fmt.Sprintf("the issuer %.100q", name)
}

// Ended reports whether a login that this server's own tokens name was ended.
func (a *Authenticator) Ended(login string) bool { return a.o.Logins != nil && a.o.Logins.Ended(login) }

// errKeys says that the keys could not be found out.
var errKeys = errors.New("find the key of a token")

// verify returns the claims of a token whose signature and times are right, and the key
// that has signed it.
func (a *Authenticator) verify(ctx context.Context, token string) (claims jwt.MapClaims, by Key, err error) {
	claims = jwt.MapClaims{}
	var keys []Key
	t, err := a.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		keys, err = a.keys(ctx, t)
		return verifiers(keys), err
	})
	switch {
	case errors.Is(err, errKeys):
		return nil, Key{}, err
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return nil, Key{}, fmt.Errorf("%w: %w: it is for %.100q, not for %q", auth.ErrDenied, err, fmt.Sprint(claims["aud"]), a.o.Audience)
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return nil, Key{}, fmt.Errorf("%w: %w", auth.ErrDenied, err)
	case err != nil:
		return nil, Key{}, fmt.Errorf("%w: %w", auth.ErrPass, err)
	}
	return claims, signer(t, keys), nil
}

// signer returns which of several keys has signed a token that is right.
func signer(t *jwt.Token, keys []Key) Key {
	signed := t.Raw[:strings.LastIndexByte(t.Raw, '.')]
	for _, k := range keys[:len(keys)-1] {
		if t.Method.Verify(signed, t.Signature, k.verify) == nil {
			return k
		}
	}
	return keys[len(keys)-1]
}

func verifiers(keys []Key) (set jwt.VerificationKeySet) {
	for _, k := range keys {
		set.Keys = append(set.Keys, k.verify)
	}
	return set
}

// keys returns those that may have signed a token: of the id that it names, which is
// compared and nothing else, and of the algorithm that it names. So no key is ever
// used with another algorithm than its own.
func (a *Authenticator) keys(ctx context.Context, t *jwt.Token) ([]Key, error) {
	id := ""
	if named, ok := t.Header["kid"]; ok {
		if id, ok = named.(string); !ok {
			return nil, errors.New("the key id is no text")
		}
	}
	keys, err := a.o.Keys.Find(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKeys, err)
	}
	if keys = Set(keys).Of(t.Method.Alg()); len(keys) == 0 {
		return nil, fmt.Errorf("no key %q of algorithm %s", id, t.Method.Alg())
	}
	return keys, nil
}

// identity returns whom claims that were verified name.
func (a *Authenticator) identity(claims jwt.MapClaims) (*auth.Identity, error) {
	if err := checkTimes(claims); err != nil {
		return nil, err
	}
	user, err := a.o.Names.user(claims)
	if err != nil {
		return nil, err
	}
	groups, err := a.o.Names.groups(claims)
	if err != nil {
		return nil, err
	}
	expires, err := claims.GetExpirationTime()
	if err != nil {
		return nil, err
	}
	scope, err := a.o.Names.scope(claims)
	if err != nil {
		return nil, err
	}
	id := &auth.Identity{User: user, Groups: groups, Expires: expires.Add(a.o.Leeway), Scope: scope}
	if !a.o.Key.CanSign() {
		return id, nil
	}
	id.Realm, _ = claims[realmClaim].(string)
	id.Login = loginOf(claims, id.Realm, id.User, expires.Time)
	if id.Login != nil && a.Ended(id.Login.ID) {
		return nil, fmt.Errorf("the login %q was ended", id.Login.ID)
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

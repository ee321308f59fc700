package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// Credentials are what a peer offers: a user and a password, a token, or the
// certificate of its connection.
type Credentials struct {
	User     string
	Password string
	Token    string // if set, User and Password are not looked at
	// Renewing says that Token is one that renews a login, and no other is good.
	Renewing bool
	// Certificates are those that the peer has shown in a handshake, where they were
	// found good, its own first. They are looked at only where there is nothing else.
	Certificates []*x509.Certificate
	// App is the application that the login is for; only its realm may vouch.
	// Empty: any authenticator may.
	App string
	// From is the address of who logs in, for a Guard; none: it is not guarded.
	From netip.Addr
}

// Empty reports whether nothing is offered at all.
func (c Credentials) Empty() bool {
	return c.User == "" && c.Password == "" && c.Token == "" && len(c.Certificates) == 0
}

// OnlyCertificate reports whether a certificate is all that is offered.
func (c Credentials) OnlyCertificate() bool {
	return len(c.Certificates) > 0 && c.User == "" && c.Password == "" && c.Token == ""
}

// An Identity is who somebody is, proven. It is never changed once made.
type Identity struct {
	// User is the canonical name: as the authenticator has it stored, not as it
	// was typed. It is the key for rules, quotas and sessions.
	User   string
	Groups []string
	// Realm is the name of the authenticator that vouches for the user. Users
	// of one name in two realms are two users.
	Realm string
	// Expires is when the proof ends; zero: never.
	Expires time.Time
	// Login is what the proof belongs to, and ends with; nil: only with itself.
	Login *Login
	// Scope is the channels that the proof is for; nil: it does not say.
	Scope *channel.Scope
	// Proof names what the authenticator By, a Prover, has relied on; empty: on nothing
	// that it could cease to believe. By is where the token was looked at, and Realm where
	// its user comes from.
	Proof, By string
}

// A Login is what proofs have in common that come from one another, as a token
// does that renews another. It can be ended before its time.
type Login struct {
	ID   string
	Ends time.Time // at the latest; none of its proofs is good for longer
	Of   uint64    // tells its user from others, for who counts the logins of one; 0: of nobody
}

// Expired reports whether the proof has ended at that time. A nil identity,
// which is the anonymous one, does not expire.
func (id *Identity) Expired(now time.Time) bool {
	return id != nil && !id.Expires.IsZero() && !now.Before(id.Expires)
}

// An Authenticator proves identities. It may be asked concurrently.
type Authenticator interface {
	// Authenticate returns who c proves its bearer to be. The errors are of
	// three kinds, and a chain treats them differently:
	//
	//   - ErrPass: not my kind of credentials, or nobody I know. Another
	//     authenticator may be asked.
	//   - ErrDenied: a definite no. Nobody else is asked, so that a user of one
	//     authenticator is never taken for one of the same name in the next.
	//   - any other: it could not be found out. Nobody else is asked either, for
	//     the answer might have been no.
	Authenticate(ctx context.Context, c Credentials) (*Identity, error)
}

// A Pretender is an authenticator that takes its time where a user's password is refused,
// whoever refuses it: else the time would tell who knows the user. Where a user gets in
// nobody pretends.
type Pretender interface {
	// Pretend takes as long as Authenticate does for a wrong password of a user whom it
	// knows. asked says that Authenticate has passed these credentials on before, which
	// may have taken some of that. What fails is no answer to anything.
	Pretend(ctx context.Context, c Credentials, asked bool)
}

// A Refresher is an authenticator that can tell about a user again, without
// credentials: whether there still is one, and in which groups.
type Refresher interface {
	// Refresh returns what is true of a canonical user now. ErrDenied means that
	// there is no such user any more; any other error that it could not be found
	// out.
	Refresh(ctx context.Context, user string) (*Identity, error)
}

// A Finder is an authenticator that can tell, without credentials, whom a name means to
// it that was typed at a login.
type Finder interface {
	// Find returns what is true of that user now, by the canonical name. The errors are
	// those of Authenticate.
	Find(ctx context.Context, typed string) (*Identity, error)
}

// A Renewer is a Refresher that looks many users up again at a time, and remembers
// for Refresh what it finds.
type Renewer interface {
	Refresher
	// Renew looks canonical users up again and returns what is true of each now.
	// Who is not in it is there no more, or nobody can tell any more. An error says
	// that not all could be looked up; what is returned beside it counts.
	Renew(ctx context.Context, users []string) (now map[string]*Identity, err error)
	// Every returns how often Renew is to be called for the users who are
	// connected.
	Every() time.Duration
}

// A Prover is an authenticator whose identities rest on something that it may cease to
// believe, as those of a token do on the key that has signed it.
type Prover interface {
	// Believes returns nil if a Proof counts as it did. ErrDenied means that it does not
	// any more; any other error that it could not be found out. It may block.
	Believes(ctx context.Context, proof string) error
	// Changed receives when a Proof may count no more, at one place; nil: that comes
	// with another configuration alone.
	Changed() <-chan struct{}
}

// An Ender is an authenticator that knows which logins have been ended. It is asked
// at every decision about an identity that has one, and does not block.
type Ender interface {
	Ended(login string) bool
}

// The verdicts that are not "could not be found out". They are wrapped with the
// reason, which is for the log: a peer is told the same for all of them.
var (
	ErrPass   = errors.New("not known here")
	ErrDenied = errors.New("denied")
)

// unauthorized is all that a peer learns about credentials that are no good:
// not which part was wrong, and not whether the user exists.
func unauthorized(cause error) *message.Error {
	return message.Errorf(message.Unauthorized, "wrong user name, password or token").Because(cause)
}

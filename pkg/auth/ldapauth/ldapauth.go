package ldapauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode"

	"github.com/orbitd/orbitd/pkg/auth"
)

const (
	// MaxLogins is how many logins go on at a time.
	MaxLogins = 64
	// maxWaiting is how many more may wait for their turn. Past it a login fails
	// as one that could not be found out: it would time out anyway.
	maxWaiting = 1024
	// maxPassword bounds a password, in bytes.
	maxPassword = 1024
)

// An Authenticator proves users against a directory. It may be used
// concurrently. Close ends it; until then it keeps connections, but has no
// goroutine of its own.
type Authenticator struct {
	o         Options
	home      *directory
	away      map[string]*directory // by the host of a configured URL
	groupBase string                // folded

	turns *auth.Turns

	passwords *memory
	known     known
	asking    asking
	tree      tree
	texts     texts

	closing context.Context
	close   context.CancelFunc
}

var (
	_ auth.Authenticator = (*Authenticator)(nil)
	_ auth.Refresher     = (*Authenticator)(nil)
	_ auth.Renewer       = (*Authenticator)(nil)
	_ auth.Finder        = (*Authenticator)(nil)
	_ auth.Pretender     = (*Authenticator)(nil)
)

// New returns an authenticator. It asks the directory nothing yet: one that is
// down when a server starts may be there when somebody logs in.
func New(o Options) (*Authenticator, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	a := &Authenticator{
		o: o, away: make(map[string]*directory), turns: auth.NewTurns(MaxLogins, maxWaiting),
		passwords: newMemory(o.Remember, o.RememberWrong, o.Now),
	}
	if o.GroupBase != "" {
		a.groupBase = foldDN(o.GroupBase)
	}
	var err error
	if a.home, err = newDirectory(o.URLs, &a.o); err != nil {
		return nil, fmt.Errorf("ldapauth: %w", err)
	}
	for _, u := range o.Referrals {
		d, err := newDirectory([]string{u}, &a.o)
		if err != nil {
			return nil, fmt.Errorf("ldapauth: referrals: %w", err)
		}
		a.away[d.servers[0].host] = d
	}
	a.closing, a.close = context.WithCancel(context.Background())
	return a, nil
}

// Close ends what goes on and closes all connections. It is idempotent.
func (a *Authenticator) Close() {
	a.close()
	for d := range a.directories() {
		d.close()
	}
}

func (a *Authenticator) directories() iter.Seq[*directory] {
	return func(yield func(*directory) bool) {
		if !yield(a.home) {
			return
		}
		for _, d := range a.away {
			if !yield(d) {
				return
			}
		}
	}
}

// within returns ctx with the end of the authenticator.
func (a *Authenticator) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(a.closing, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// Authenticate checks a user's password. A user whom the directory does not know
// is auth.ErrPass; one whom it knows and does not let in by this password is
// auth.ErrDenied. Any other error means that it could not be found out.
func (a *Authenticator) Authenticate(ctx context.Context, c auth.Credentials) (*auth.Identity, error) {
	if c.Token != "" || c.User == "" {
		return nil, fmt.Errorf("%w: not a user with a password", auth.ErrPass)
	}
	if err := check(c); err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrDenied, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.o.LoginTimeout, fmt.Errorf("the login took longer than %s (login_timeout)", a.o.LoginTimeout))
	defer cancel()
	ctx, end := a.within(ctx)
	defer end()
	over, err := a.turns.Take(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	d := a.passwords.digest(c.User, c.Password)
	if user, ok := a.passwords.isRight(d); ok {
		return a.Refresh(ctx, user)
	}
	asked := a.o.Now()
	p, err := a.prove(ctx, c)
	if err != nil {
		return nil, err
	}
	id, err := a.admit(ctx, p, asked)
	if err == nil {
		a.passwords.wasRight(d, p.user)
	}
	return id, err
}

// Find returns what the directory says now about who is meant by a name that was typed
// at a login. Nobody is auth.ErrPass; who may not log in is auth.ErrDenied.
func (a *Authenticator) Find(ctx context.Context, typed string) (*auth.Identity, error) {
	if err := checkName(typed); err != nil {
		return nil, fmt.Errorf("%w: the user's name: %w", auth.ErrDenied, err)
	}
	ctx, end := a.within(ctx)
	defer end()
	asked := a.o.Now()
	find := a.find
	if a.o.UserDN != "" {
		find = func(ctx context.Context, typed string) (*person, error) {
			return a.read(ctx, fillDN(a.o.UserDN, typed), typed)
		}
	}
	p, err := find(ctx, typed)
	if err != nil {
		return nil, err
	}
	return a.admit(ctx, p, asked)
}

// admit returns who a person is, if their account is open.
func (a *Authenticator) admit(ctx context.Context, p *person, asked time.Time) (*auth.Identity, error) {
	if p.closed != "" {
		return nil, fmt.Errorf("%w: the account of %q is closed (%s)", auth.ErrDenied, p.user, p.closed)
	}
	r, err := a.complete(ctx, p, asked)
	return r.identity, err
}

// Pretend asks the directory about somebody who is not there, unless it was asked: nobody
// takes as long as a user whose password is wrong. What was typed does not get there, but
// the same has the same name, so that it is remembered as a password would be.
func (a *Authenticator) Pretend(ctx context.Context, c auth.Credentials, asked bool) {
	if !asked && check(c) == nil {
		name := fmt.Sprintf("%x", a.passwords.digest("pretended "+c.User, c.Password))
		_, _ = a.Authenticate(ctx, auth.Credentials{User: name, Password: name})
	}
}

// check refuses what must not reach a directory. An empty password would not be
// checked there at all (RFC 4513, section 5.1.2), and servers differ in what
// they cut off.
func check(c auth.Credentials) error {
	if err := checkName(c.User); err != nil {
		return fmt.Errorf("the user's name: %w", err)
	}
	switch {
	case strings.TrimSpace(c.Password) == "":
		return errors.New("the password is empty")
	case len(c.Password) > maxPassword:
		return fmt.Errorf("the password has more than %d bytes", maxPassword)
	case strings.ContainsFunc(c.Password, unicode.IsControl):
		return errors.New("the password has control characters")
	}
	return nil
}

// prove returns who has proven to be c.User.
func (a *Authenticator) prove(ctx context.Context, c auth.Credentials) (*person, error) {
	if a.o.UserDN != "" {
		return a.proveDirectly(ctx, c)
	}
	p, err := a.find(ctx, c.User)
	if errors.Is(err, auth.ErrPass) {
		// As long as with somebody who is there, so that the time does not tell.
		nobody := &person{dn: a.o.UserName + "=" + strings.ToLower(rand.Text()) + "," + a.o.UserBase, home: a.home}
		if err := a.bind(ctx, nobody, a.passwords.digest("nobody "+c.User, c.Password), rand.Text()); err != nil && !errors.Is(err, auth.ErrDenied) {
			return nil, err
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	// The time of the last change is a part: the password may be right now.
	d := a.passwords.digest(foldDN(p.dn)+" "+p.password, c.Password)
	return p, a.bind(ctx, p, d, c.Password)
}

// proveDirectly binds first, and then reads the entry.
func (a *Authenticator) proveDirectly(ctx context.Context, c auth.Credentials) (*person, error) {
	dn := fillDN(a.o.UserDN, c.User)
	bad := a.bind(ctx, &person{dn: dn, home: a.home}, a.passwords.digest(foldDN(dn), c.Password), c.Password)
	if bad != nil && !errors.Is(bad, auth.ErrDenied) {
		return nil, bad
	}
	switch p, err := a.read(ctx, dn, c.User); {
	case bad == nil && errors.Is(err, auth.ErrPass):
		// Not "nobody I know": the bind was good.
		return nil, fmt.Errorf("%s has bound, and its entry cannot be read as %q, or is not what the filter for users wants", dn, a.o.BindDN)
	case bad != nil && err == nil:
		return nil, bad
	default:
		return p, err
	}
}

// bind binds as a person with a password, unless that is known to be wrong. Wrong
// is auth.ErrDenied.
func (a *Authenticator) bind(ctx context.Context, p *person, d digest, password string) error {
	if a.passwords.isWrong(d, p.locked) {
		return fmt.Errorf("%w: this password was refused for %q a short time ago", auth.ErrDenied, p.dn)
	}
	switch err := p.home.bind(ctx, p.dn, password); {
	case errors.Is(err, errRefused):
		a.passwords.wasWrong(d, p.locked, !errors.Is(err, errAccount))
		return fmt.Errorf("%w: bind as %q: %w", auth.ErrDenied, p.dn, err)
	case err != nil:
		return fmt.Errorf("bind as %q: %w", p.dn, err)
	}
	return nil
}

// complete finds the groups of a person and returns what is known now: what was asked
// later, if anything was.
func (a *Authenticator) complete(ctx context.Context, p *person, asked time.Time) (record, error) {
	groups, err := a.groupsOf(ctx, p)
	if err != nil {
		return record{}, err
	}
	r := record{&auth.Identity{User: p.user, Groups: groups}, p.password, asked}
	before, had := a.known.put(r)
	if had && before.password != r.password {
		a.passwords.forgetRight(p.user)
	}
	if had && r.found.Before(before.found) {
		return before, nil
	}
	return r, nil
}

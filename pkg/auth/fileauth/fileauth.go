package fileauth

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
)

// DefaultConcurrency is how many passwords are hashed at a time: each takes the
// memory that its hash asks for, 19 MiB for ours.
const DefaultConcurrency = 2

// maxWaiting is how many logins may wait for their turn. Past it a login fails
// as unavailable: more would time out anyway.
const maxWaiting = 256

// Options are what an Authenticator needs. Path is required.
type Options struct {
	Path        string
	Concurrency int                // default: DefaultConcurrency
	Logger      logrus.FieldLogger // default: none
}

// An Authenticator checks passwords against a file. It may be used
// concurrently; Reload swaps the users as a whole.
type Authenticator struct {
	o     Options
	turns *auth.Turns
	state atomic.Pointer[state]
}

var (
	_ auth.Authenticator = (*Authenticator)(nil)
	_ auth.Refresher     = (*Authenticator)(nil)
	_ auth.Finder        = (*Authenticator)(nil)
	_ auth.Pretender     = (*Authenticator)(nil)
)

// A state is what one reading of the file gave; it is never changed.
type state struct {
	users map[string]user
	// nobody is hashed in place of the hash of a user who does not exist, so
	// that the time of an answer does not tell. It costs as much as the
	// costliest hash of the file.
	nobody hash
}

// New reads the file and returns an authenticator.
func New(o Options) (*Authenticator, error) {
	if o.Path == "" {
		return nil, errors.New("fileauth: no path")
	}
	if o.Concurrency < 1 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Logger == nil {
		logger := logrus.New()
		logger.SetLevel(logrus.PanicLevel)
		o.Logger = logger
	}
	a := &Authenticator{o: o, turns: auth.NewTurns(o.Concurrency, maxWaiting)}
	if err := a.Reload(); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload reads the file again. On an error, which names the lines that are
// wrong, the users stay as they were.
func (a *Authenticator) Reload() error {
	users, err := readUsers(a.o.Path)
	if err != nil {
		return err
	}
	a.state.Store(&state{users: users, nobody: costliest(users)})
	a.o.Logger.WithFields(logrus.Fields{"file": a.o.Path, "users": len(users)}).Info("users read")
	return nil
}

func costliest(users map[string]user) hash {
	var nobody hash
	for _, u := range users {
		if u.hash.work() > nobody.work() {
			nobody = hash{memory: u.hash.memory, time: u.hash.time, threads: u.hash.threads}
		}
	}
	if len(users) == 0 {
		nobody = hash{memory: newMemory, time: newTime, threads: newThreads}
	}
	nobody.salt, nobody.sum = make([]byte, saltLength), make([]byte, sumLength)
	return nobody
}

// Authenticate checks a user's password. A user who is not in the file is auth.ErrPass,
// at once: others may know the user, and a hash would be for nothing where they let them
// in; see Pretend. A wrong password is auth.ErrDenied. When ctx ends, or too many logins
// wait, it could not be found out.
func (a *Authenticator) Authenticate(ctx context.Context, c auth.Credentials) (*auth.Identity, error) {
	switch {
	case c.Token != "" || c.User == "":
		return nil, fmt.Errorf("%w: not a user with a password", auth.ErrPass)
	case c.Password == "" || len(c.Password) > MaxPassword:
		return nil, fmt.Errorf("%w: a password of %d bytes", auth.ErrDenied, len(c.Password))
	}
	u, known := a.state.Load().users[c.User]
	if !known {
		return nil, fmt.Errorf("%w: no user %q", auth.ErrPass, c.User)
	}
	end, err := a.turns.Take(ctx)
	if err != nil {
		return nil, fmt.Errorf("check password: %w", err)
	}
	defer end()
	if !u.hash.matches(c.Password) {
		return nil, fmt.Errorf("%w: wrong password for %q", auth.ErrDenied, u.name)
	}
	return &auth.Identity{User: u.name, Groups: u.groups}, nil
}

// Pretend hashes a password in vain, so that the time of a refusal does not tell who is in
// the file. When ctx ends, or too many logins wait, it does not.
func (a *Authenticator) Pretend(ctx context.Context, c auth.Credentials, _ bool) {
	if c.Password == "" || len(c.Password) > MaxPassword {
		return // nor is that of a user
	}
	if end, err := a.turns.Take(ctx); err == nil {
		defer end()
		a.state.Load().nobody.matches(c.Password)
	}
}

// Refresh returns what the file says about a user now. A user who is not in it
// any more is auth.ErrDenied.
func (a *Authenticator) Refresh(_ context.Context, name string) (*auth.Identity, error) {
	u, known := a.state.Load().users[name]
	if !known {
		return nil, fmt.Errorf("%w: no user %q any more", auth.ErrDenied, name)
	}
	return &auth.Identity{User: u.name, Groups: u.groups}, nil
}

// Find returns what the file says about a user, whose name is typed as it stands there.
// Who is not in it is auth.ErrPass.
func (a *Authenticator) Find(_ context.Context, typed string) (*auth.Identity, error) {
	u, known := a.state.Load().users[typed]
	if !known {
		return nil, fmt.Errorf("%w: no user %q", auth.ErrPass, typed)
	}
	return &auth.Identity{User: u.name, Groups: u.groups}, nil
}

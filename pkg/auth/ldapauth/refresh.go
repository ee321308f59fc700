package ldapauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
)

var errUnknown = errors.New("nothing is known")

// batch is how many users are looked up in one search.
const batch = 50

// Refresh returns what the directory says about a canonical user, not longer ago
// than Options.Refresh, and not before the last Renew began. While it cannot be
// asked, what it said last holds for Options.Grace. Who is not there any more, or
// whose account is closed, is auth.ErrDenied.
func (a *Authenticator) Refresh(ctx context.Context, user string) (*auth.Identity, error) {
	for {
		if id := a.fresh(user); id != nil {
			return id, nil
		}
		q, first := a.asking.join(user, a.known.round())
		if first {
			defer a.asking.leave(ctx, q)
			if q.identity = a.fresh(user); q.identity == nil { // else it was asked meanwhile
				q.identity, q.err = a.lookUp(ctx, user)
			}
			return q.identity, q.err
		}
		select {
		case <-q.answered:
			if !q.left {
				return q.identity, q.err
			}
		case <-ctx.Done():
			return a.graceOf(user, context.Cause(ctx))
		}
	}
}

// fresh returns what is known of a user and still counts, or nil.
func (a *Authenticator) fresh(user string) *auth.Identity {
	if r, had := a.known.get(user); had && a.holds(r.found) {
		return r.identity
	}
	return nil
}

// lookUp asks the directory about a user who is connected, or comes with a token.
func (a *Authenticator) lookUp(ctx context.Context, user string) (*auth.Identity, error) {
	ctx, end := a.within(ctx)
	defer end()
	asked := a.o.Now()
	people, err := a.again(ctx, []string{user})
	var now record
	if err == nil {
		now, err = a.update(ctx, user, people[user], asked)
	}
	switch {
	case err == nil:
		return now.identity, nil
	case errors.Is(err, auth.ErrDenied):
		return nil, err
	}
	return a.graceOf(user, err)
}

// graceOf returns what was known of a user within the grace, else err, which says why
// it cannot be found out now.
func (a *Authenticator) graceOf(user string, err error) (*auth.Identity, error) {
	if r, had := a.known.get(user); had && a.o.Now().Sub(r.found) < a.o.Grace {
		return r.identity, nil
	}
	return nil, err
}

// update keeps what was found of a user: a person, or nobody.
func (a *Authenticator) update(ctx context.Context, user string, p *person, asked time.Time) (now record, err error) {
	switch {
	case p == nil:
		err = fmt.Errorf("%w: the directory has no entry for %q any more, or several", auth.ErrDenied, user)
	case p.closed != "":
		err = fmt.Errorf("%w: the account of %q is closed (%s)", auth.ErrDenied, user, p.closed)
	default:
		now, err = a.complete(ctx, p, asked)
	}
	if errors.Is(err, auth.ErrDenied) {
		a.known.remove(user, asked)
		a.passwords.forgetRight(user)
	}
	return now, err
}

// Every returns how often Renew is to be called.
func (a *Authenticator) Every() time.Duration { return a.o.Refresh }

// Renew looks users up again, many at a time, and returns what is true of each
// now. Who is not in it is not there any more, or it could not be found out and
// the grace is over: Refresh tells which. What cannot be found out of one keeps none
// of the others from being looked up, unless it is so of a whole batch: then the
// directory is not asked any more in this round. The error says why.
func (a *Authenticator) Renew(ctx context.Context, users []string) (now map[string]*auth.Identity, err error) {
	ctx, end := a.within(ctx)
	defer end()
	begun := a.o.Now()
	a.known.begin(begun)
	a.trim(begun)
	now = make(map[string]*auth.Identity, len(users))
	down := false
	for some := range slices.Chunk(users, batch) {
		unknown := some
		if !down {
			var why error
			unknown, why = a.renew(ctx, some, now)
			down = len(unknown) == len(some)
			if err == nil {
				err = why
			}
		}
		for _, user := range unknown {
			if id, err := a.graceOf(user, errUnknown); err == nil {
				now[user] = id
			}
		}
	}
	return now, err
}

// renew looks a batch up again and enters it into now. It returns those of whom it
// could not be found out, and why.
func (a *Authenticator) renew(ctx context.Context, users []string, now map[string]*auth.Identity) (unknown []string, why error) {
	asked := a.o.Now()
	people, err := a.again(ctx, users)
	if err != nil {
		return users, err
	}
	// Half of the connections: people also log in.
	turns := make(chan struct{}, max(1, a.o.Connections/2))
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, user := range users {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			r, err := a.update(ctx, user, people[user], asked)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				now[user] = r.identity
			case !errors.Is(err, auth.ErrDenied):
				unknown, why = append(unknown, user), err
			}
		})
	}
	all.Wait()
	return unknown, why
}

// trim forgets what is too old to be of use, and connections that are.
func (a *Authenticator) trim(now time.Time) {
	a.known.trim(now.Add(-max(a.o.Grace, a.o.Refresh)))
	for d := range a.directories() {
		d.searches.trim()
		d.binds.trim()
	}
}

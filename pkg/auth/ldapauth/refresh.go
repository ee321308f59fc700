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

// batch is how many users are looked up in one search.
const batch = 50

// Refresh returns what the directory says about a canonical user, not longer ago
// than Options.Refresh, and not before the last Renew began. While it cannot be
// asked, what it said last holds for Options.Grace. Who is not there any more, or
// whose account is closed, is auth.ErrDenied.
func (a *Authenticator) Refresh(ctx context.Context, user string) (*auth.Identity, error) {
	r, had := a.known.get(user)
	if had && a.holds(r.found) {
		return r.identity, nil
	}
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
	case had && a.o.Now().Sub(r.found) < a.o.Grace:
		return r.identity, nil
	}
	return nil, err
}

// update keeps what was found of a user: a person, or nobody.
func (a *Authenticator) update(ctx context.Context, user string, p *person, asked time.Time) (now record, err error) {
	switch {
	case p == nil:
		err = fmt.Errorf("%w: the directory has no entry for %q any more", auth.ErrDenied, user)
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

// Renew looks users up again, many at a time, and returns those of whom something
// else is true now than before. If the directory cannot be asked, these are the
// ones whose grace has ended, beside the error. Refresh then tells of each.
func (a *Authenticator) Renew(ctx context.Context, users []string) (changed []string, err error) {
	ctx, end := a.within(ctx)
	defer end()
	begun := a.o.Now()
	a.known.begin(begun)
	a.trim(begun)
	for some := range slices.Chunk(users, batch) {
		if err == nil {
			var differ []string
			differ, err = a.renew(ctx, some)
			changed = append(changed, differ...)
		}
		if err != nil {
			changed = append(changed, a.beyondGrace(some)...)
		}
	}
	slices.Sort(changed)
	return slices.Compact(changed), err
}

// renew looks a batch up again.
func (a *Authenticator) renew(ctx context.Context, users []string) (changed []string, err error) {
	asked := a.o.Now()
	people, err := a.again(ctx, users)
	if err != nil {
		return nil, err
	}
	// Half of the connections: people also log in.
	turns := make(chan struct{}, max(1, a.o.Connections/2))
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, user := range users {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			differs, err := a.renewOne(ctx, user, people[user], asked)
			mu.Lock()
			defer mu.Unlock()
			if differs {
				changed = append(changed, user)
			}
			errs = append(errs, err)
		})
	}
	all.Wait()
	return changed, errors.Join(errs...)
}

// renewOne reports whether something else is true of the user than before.
func (a *Authenticator) renewOne(ctx context.Context, user string, p *person, asked time.Time) (differs bool, err error) {
	before, had := a.known.get(user)
	now, err := a.update(ctx, user, p, asked)
	switch {
	case errors.Is(err, auth.ErrDenied):
		return true, nil
	case err != nil:
		return false, err
	}
	return !had || !slices.Equal(before.identity.Groups, now.identity.Groups), nil
}

// beyondGrace returns those of users who are not known, or no longer.
func (a *Authenticator) beyondGrace(users []string) (gone []string) {
	now := a.o.Now()
	for _, user := range users {
		if r, had := a.known.get(user); !had || now.Sub(r.found) >= a.o.Grace {
			gone = append(gone, user)
		}
	}
	return gone
}

// trim forgets what is too old to be of use, and connections that are.
func (a *Authenticator) trim(now time.Time) {
	a.known.trim(now.Add(-max(a.o.Grace, a.o.Refresh)))
	for d := range a.directories() {
		d.searches.trim()
		d.binds.trim()
	}
}

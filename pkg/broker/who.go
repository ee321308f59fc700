package broker

import (
	"iter"
	"maps"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
)

// A Who is everything a client has proven about who it is: one identity for all
// applications, and more for single ones. It is immutable. The nil Who is
// anonymous everywhere.
type Who struct {
	base *auth.Identity
	apps map[string]*auth.Identity
}

// NewWho returns the Who of one identity, which may be nil.
func NewWho(id *auth.Identity) *Who {
	if id == nil {
		return nil
	}
	return &Who{base: id}
}

// With returns w with an identity that counts in one application.
func (w *Who) With(app string, id *auth.Identity) *Who {
	next := &Who{apps: map[string]*auth.Identity{}}
	if w != nil {
		next.base = w.base
		maps.Copy(next.apps, w.apps)
	}
	next.apps[app] = id
	return next
}

// each returns w with every identity replaced by what f makes of it.
func (w *Who) each(f func(*auth.Identity) (*auth.Identity, error)) (*Who, error) {
	next := &Who{apps: make(map[string]*auth.Identity, len(w.apps))}
	var err error
	if w.base != nil {
		if next.base, err = f(w.base); err != nil {
			return nil, err
		}
	}
	for app, id := range w.apps {
		if next.apps[app], err = f(id); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// Identities returns all that the client has proven to be.
func (w *Who) Identities() iter.Seq[*auth.Identity] {
	return func(yield func(*auth.Identity) bool) {
		if w == nil || w.base != nil && !yield(w.base) {
			return
		}
		for _, id := range w.apps {
			if !yield(id) {
				return
			}
		}
	}
}

// Owner returns the realm and user that a session of this client belongs to;
// both are empty for an anonymous client.
func (w *Who) Owner() (realm, user string) {
	if w == nil || w.base == nil {
		return "", ""
	}
	return w.base.Realm, w.base.User
}

// Expires returns when the first of the identities ends; zero is never.
func (w *Who) Expires() time.Time {
	var first time.Time
	for id := range w.Identities() {
		if !id.Expires.IsZero() && (first.IsZero() || id.Expires.Before(first)) {
			first = id.Expires
		}
	}
	return first
}

// Expired reports whether the first of the identities has ended.
func (w *Who) Expired(now time.Time) bool {
	if w == nil {
		return false
	}
	expires := w.Expires()
	return !expires.IsZero() && !now.Before(expires)
}

// in returns the identity that counts in an application, or nil.
func (w *Who) in(app string, vouches func(realm, app string) bool) *auth.Identity {
	if w == nil {
		return nil
	}
	if id := w.apps[app]; id != nil {
		return id
	}
	if w.base != nil && vouches(w.base.Realm, app) {
		return w.base
	}
	return nil
}

func subject(id *auth.Identity) acl.Subject {
	if id == nil {
		return acl.Subject{}
	}
	return acl.Subject{User: id.User, Groups: id.Groups}
}

package broker

import (
	"iter"
	"maps"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
)

// A Who is everything a client has proven about who it is: one identity for all
// applications, and more for single ones; and of a browser the origin of its page.
// It is immutable. The nil Who is anonymous everywhere.
type Who struct {
	base *auth.Identity
	apps map[string]*auth.Identity
	page string
}

// NewWho returns the Who of one identity, which may be nil.
func NewWho(id *auth.Identity) *Who {
	if id == nil {
		return nil
	}
	return &Who{base: id}
}

// On returns w as the user of a page of another origin than the server's own; an
// empty one is no page, or the server's.
func (w *Who) On(page string) *Who {
	switch {
	case w.Page() == page:
		return w
	case w == nil:
		return &Who{page: page}
	}
	on := *w
	on.page = page
	return &on
}

// Page returns the origin that was given to On.
func (w *Who) Page() string {
	if w == nil {
		return ""
	}
	return w.page
}

// Beside returns how many applications, other than that one, have an identity of their
// own, or had one. To bound it is up to who calls With, which copies them all.
func (w *Who) Beside(app string) int {
	if w == nil {
		return 0
	}
	n := len(w.apps)
	if _, has := w.apps[app]; has {
		n--
	}
	return n
}

// With returns w with an identity that counts in one application.
func (w *Who) With(app string, id *auth.Identity) *Who {
	next := &Who{apps: map[string]*auth.Identity{}}
	if w != nil {
		next.base, next.page = w.base, w.page
		maps.Copy(next.apps, w.apps)
	}
	next.apps[app] = id
	return next
}

// each returns w with every identity replaced by what f makes of it. Where f fails
// for the one of an application, that application alone has none any more: the client
// could not come back while nobody answers for it, and the other applications would
// suffer from that.
func (w *Who) each(f func(*auth.Identity) (*auth.Identity, error)) (*Who, error) {
	next := &Who{page: w.page}
	var err error
	if w.base != nil {
		if next.base, err = f(w.base); err != nil {
			return nil, err
		}
	}
	next.apps = w.mapApps(func(id *auth.Identity) *auth.Identity {
		now, err := f(id)
		if err != nil {
			return ended
		}
		return now
	})
	return next, nil
}

// ended stands for the identity of an application that has one no more. There the
// client is anonymous, and not who it is elsewhere: it must not say with another
// name what it meant to say with that one.
var ended = &auth.Identity{}

func (w *Who) mapApps(f func(*auth.Identity) *auth.Identity) map[string]*auth.Identity {
	apps := make(map[string]*auth.Identity, len(w.apps))
	for app, id := range w.apps {
		if id != ended {
			id = f(id)
		}
		apps[app] = id
	}
	return apps
}

// Identities returns all that the client has proven to be.
func (w *Who) Identities() iter.Seq[*auth.Identity] {
	return func(yield func(*auth.Identity) bool) {
		if w == nil || w.base != nil && !yield(w.base) {
			return
		}
		for _, id := range w.apps {
			if id != ended && !yield(id) {
				return
			}
		}
	}
}

// scopedRealm is behind the realm of those whose token is for some channels alone.
// It is nothing that stands in the name of an authenticator.
const scopedRealm = "\x00token"

// Owner returns the realm and user that a session of this client belongs to;
// both are empty for an anonymous client. Who has a token for some channels alone has
// sessions of its own: it must not take up the user's, and end there what it may not have.
func (w *Who) Owner() (realm, user string) {
	if w == nil || w.base == nil {
		return "", ""
	}
	if w.base.Scope != nil {
		return w.base.Realm + scopedRealm, w.base.User
	}
	return w.base.Realm, w.base.User
}

// Expired reports whether the proof of who the client is has ended. That of one
// application may end before: see At.
func (w *Who) Expired(now time.Time) bool { return w != nil && w.base.Expired(now) }

// At returns w without those identities of single applications that have ended by
// now: w itself, if there is none.
func (w *Who) At(now time.Time) *Who {
	if w == nil {
		return nil
	}
	for _, id := range w.apps {
		if id.Expired(now) {
			next := *w
			next.apps = w.mapApps(func(id *auth.Identity) *auth.Identity {
				if id.Expired(now) {
					return ended
				}
				return id
			})
			return &next
		}
	}
	return w
}

// in returns the identity that counts in an application: nil if there is none, and
// ended if there was one, or its realm counts there no more since a reload.
func (w *Who) in(app string, vouches func(realm, app string) bool) *auth.Identity {
	if w == nil {
		return nil
	}
	if id := w.apps[app]; id != nil {
		if id != ended && !vouches(id.Realm, app) {
			return ended
		}
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
	return acl.Subject{User: id.User, Groups: id.Groups, Scope: id.Scope}
}

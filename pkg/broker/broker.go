package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// An Authenticator proves identities: an auth.Chain. Its errors are
// *message.Error.
type Authenticator interface {
	Authenticate(ctx context.Context, c auth.Credentials) (*auth.Identity, error)
	// Refresh returns the identity as it is now: Unauthorized if there is no such
	// user any more.
	Refresh(ctx context.Context, id *auth.Identity) (*auth.Identity, error)
	// Vouches reports whether an identity of the realm counts in the application.
	Vouches(realm, app string) bool
	// Ended reports whether the login that the identity belongs to was ended.
	Ended(id *auth.Identity) bool
}

// Rights are the rules and authenticators in force. A reload replaces them as
// one.
type Rights struct {
	Policy *acl.Policy
	Auth   Authenticator
	// Storage says how a channel's messages are stored.
	Storage func(channel.Name) engine.Rule
	// Page reports whether pages of an origin may use an application; nil: all may.
	Page func(app, origin string) bool
	// Quotas are the bounds of applications that have any.
	Quotas map[string]Quota
}

// Options are what a broker is made of. Engine and Rights are required.
type Options struct {
	Engine     engine.Engine
	Rights     Rights
	MaxMessage int           // bytes of a payload; 0: 64 KiB
	Workers    int           // goroutines for what may block; 0: 16
	Askers     int           // goroutines for what asks authenticators; 0: 32
	AuthTime   time.Duration // bound of one authentication; 0: 8 s
	Now        func() time.Time
}

// A Broker decides and carries out. All methods may be called concurrently. It
// does not own the engine: who made that closes it, after the broker.
type Broker struct {
	engine     engine.Engine
	rights     atomic.Pointer[Rights]
	quotas     *quotas
	maxMessage int
	authTime   time.Duration
	workers    *workers
	askers     *workers
	life       context.Context // ends when Close is called
	end        context.CancelFunc
	metrics    metrics
	outcomes   sync.Pool // of *outcome
}

// New returns a broker on an engine.
func New(o Options) (*Broker, error) {
	if o.Engine == nil || o.Rights.Policy == nil || o.Rights.Auth == nil || o.Rights.Storage == nil {
		return nil, errors.New("broker: engine and rights are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Broker{
		quotas:     newQuotas(o.Now),
		engine:     o.Engine,
		maxMessage: orDefault(o.MaxMessage, 64<<10),
		authTime:   orDefault(o.AuthTime, 8*time.Second),
		workers:    newWorkers(orDefault(o.Workers, 16)),
		askers:     newWorkers(orDefault(o.Askers, 32)),
		metrics:    newMetrics(),
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.SetRights(o.Rights)
	return b, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// SetRights puts other rules and authenticators in force. Sessions keep what
// they have until they are rechecked.
func (b *Broker) SetRights(r Rights) {
	b.rights.Store(&r)
	b.quotas.set(r.Quotas)
	b.engine.SetRules(r.Storage)
	if m, ok := b.engine.(engine.Meter); ok {
		m.SetQuotas(stored(r.Quotas))
	}
}

// Close drops the work that was given to Go and Ask and has not begun: whom it was for
// is gone. It waits for what has begun, until ctx ends; who asks an authenticator waits
// no more. It is idempotent.
func (b *Broker) Close(ctx context.Context) error {
	b.end()
	return errors.Join(b.askers.close(ctx), b.workers.close(ctx))
}

// Go runs f on a worker goroutine: for what may block and therefore has no
// place on an event loop. Callers have a bounded number of jobs each.
func (b *Broker) Go(f func()) { b.workers.add(f) }

// Ask is Go for what asks authenticators. A directory that does not answer holds
// up those who log in, and nobody who reads.
func (b *Broker) Ask(f func()) { b.askers.add(f) }

// Engine returns the engine, for what needs no decision.
func (b *Broker) Engine() engine.Engine { return b.engine }

// AuthTime returns how long one authentication, or a look at a client, may take.
func (b *Broker) AuthTime() time.Duration { return b.authTime }

// MaxMessage returns how many bytes a payload may have.
func (b *Broker) MaxMessage() int { return b.maxMessage }

// Authenticate proves who bears the credentials. It may block for as long as a
// directory takes. Empty credentials are the anonymous identity, nil.
func (b *Broker) Authenticate(ctx context.Context, c auth.Credentials) (*auth.Identity, error) {
	if c.Empty() {
		return nil, nil
	}
	ctx, cancel := b.asking(ctx)
	defer cancel()
	for {
		rights := b.rights.Load()
		id, err := rights.Auth.Authenticate(ctx, c)
		if rights == b.rights.Load() {
			return id, err
		} // else a reload came in between, and may have removed this user
	}
}

// Refresh returns who the client is by what the authenticators say now. It may
// block. The error is Unauthorized if the client's identity has ended, and another
// if that could not be found out. An identity of one application that has ended, or
// of which nobody can tell, is gone in the result.
func (b *Broker) Refresh(ctx context.Context, who *Who) (*Who, error) {
	if who == nil {
		return nil, nil
	}
	ctx, cancel := b.asking(ctx)
	defer cancel()
	return who.each(func(id *auth.Identity) (*auth.Identity, error) {
		return b.rights.Load().Auth.Refresh(ctx, id)
	})
}

// asking returns a context for who asks authenticators: it ends in time, and with the
// broker.
func (b *Broker) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, b.authTime)
	stop := context.AfterFunc(b.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// May returns nil if the client may carry out the action on the channel, else
// the error that a peer is told.
func (b *Broker) May(who *Who, action acl.Action, name channel.Name) error {
	_, err := b.decide(who, action, name)
	return err
}

// decide returns the user that the client is on the channel.
func (b *Broker) decide(who *Who, action acl.Action, name channel.Name) (user string, err error) {
	rights := b.rights.Load()
	if page := who.Page(); page != "" && rights.Page != nil && !rights.Page(name.App(), page) {
		return "", message.Errorf(message.Forbidden, "pages of %s may not use the application %s; add it to app.%[2]s.origins", page, name.App())
	}
	id := who.in(name.App(), rights.Auth.Vouches)
	if id != nil && rights.Auth.Ended(id) {
		return "", message.Errorf(message.Unauthorized, "the login has ended; log in again")
	}
	s := subject(id)
	if rights.Policy.Decide(s, action, name).Allowed {
		return s.User, nil
	}
	if id == ended {
		return "", message.Errorf(message.Unauthorized, "the login to the application %s has ended; log in to it again (auth)", name.App())
	}
	if rights.Policy.Disabled(name) {
		return "", message.Errorf(message.Forbidden, "%s to %s is not allowed to anybody: the application %s is disabled until its file is right (orbitd check)", action, name, name.App())
	}
	if s.User == "" {
		return "", message.Errorf(message.Forbidden, "%s to %s is not allowed without a login that may do so", action, name)
	}
	return "", message.Errorf(message.Forbidden, "%s to %s is not allowed for %s", action, name, s.User)
}

// Read returns what follows a position on one channel. The caller has asked May
// when the subscription began and when rights changed. It may block.
func (b *Broker) Read(ctx context.Context, name channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
	return b.engine.Read(ctx, []channel.Name{name}, after, limit)
}

// Merge is Read for several channels: their messages come in the order of their
// offsets.
func (b *Broker) Merge(ctx context.Context, names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
	return b.engine.Read(ctx, names, after, limit)
}

// History returns the newest messages of a channel below an offset, if the
// client may subscribe to it. It may block.
func (b *Broker) History(ctx context.Context, who *Who, name channel.Name, before message.Offset, limit int) (engine.Batch, error) {
	if err := b.May(who, acl.Subscribe, name); err != nil {
		return engine.Batch{}, err
	}
	return b.engine.History(ctx, name, before, engine.Limit{Messages: limit})
}

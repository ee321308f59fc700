package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/httpapi"
	"github.com/orbitd/orbitd/pkg/httpserver"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/session"
	"github.com/orbitd/orbitd/pkg/stomp"
	"github.com/orbitd/orbitd/pkg/tlsconf"
	"github.com/orbitd/orbitd/pkg/transport"
)

// Options are what a daemon is made of. Load and Logger are required.
type Options struct {
	// Load reads the configuration; it is called at the start and at each
	// reload.
	Load func() (*config.Config, error)
	// Listeners are sockets that were handed over, by name; what is there is
	// used in place of the configured address.
	Listeners map[string][]net.Listener
	Logger    *logrus.Logger
	Version   string
	Now       func() time.Time // default time.Now
	Manager   Manager          // default none
	// Watchdog is how often Manager wants to hear that the daemon is alive; 0 is
	// never.
	Watchdog time.Duration
}

// A Manager is told what the daemon does: [systemd.Manager].
type Manager interface {
	Ready() error // behind Reloading
	Reloading() error
	Stopping() error
	Status(text string) error
	Alive() error
}

// A Daemon is a running orbitd. Start makes it, Stop ends it. Reload and Stop
// may be called from any goroutine.
type Daemon struct {
	log     *logrus.Logger
	now     func() time.Time
	load    func() (*config.Config, error)
	manager Manager
	version string
	started time.Time
	life    context.Context // ends when Stop is called
	end     context.CancelFunc
	stop    steps
	issuer  atomic.Pointer[httpapi.Issuer]
	gate    *origin.Gate
	guard   *auth.Guard
	logins  *auth.Metrics
	reloads reloads

	engine    engine.Engine
	broker    *broker.Broker
	sessions  *session.Manager
	transport *transport.Server
	stomp     *stomp.Server
	front     *httpserver.Server
	hub       *hub.Hub
	reactor   *reactor.Reactor
	tls       *tlsconf.Server // nil without a certificate

	begun   *config.Config // that of the start; does not change
	config  atomic.Pointer[config.Config]
	unruled atomic.Int64                  // channels, by config
	verdict atomic.Pointer[admin.Verdict] // of the last reload
	asked   atomic.Pointer[[]auth.Named]  // members, for metrics

	turn     chan struct{} // of one place: who has put something in owns what follows; see lock
	kept     []kept
	members  []auth.Named
	rounds   *rounds
	addrs    map[string][]net.Addr
	stopping bool
}

// Start makes all parts and serves. If it fails, nothing is left behind.
func Start(o Options) (*Daemon, error) {
	if o.Load == nil || o.Logger == nil {
		return nil, errors.New("daemon: configuration and logger are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Manager == nil {
		o.Manager = nobody{}
	}
	d := &Daemon{log: o.Logger, now: o.Now, load: o.Load, manager: o.Manager, version: o.Version, addrs: map[string][]net.Addr{}}
	d.turn = make(chan struct{}, 1)
	d.started, d.guard, d.logins, d.reloads = d.now(), auth.NewGuard(d.now), auth.NewMetrics(), newReloads()
	d.reloads.at.Set(float64(d.started.Unix()))
	d.life, d.end = context.WithCancel(context.Background())
	d.stop.log = o.Logger
	if err := d.start(o); err != nil {
		d.end()
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, d.stop.run(ctx))
	}
	return d, nil
}

// lock has Reload, Recheck and Stop take turns. The error says that it was not this one's
// turn before ctx ended.
func (d *Daemon) lock(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the reload before this: %w", ctx.Err())
	}
}

func (d *Daemon) unlock() { <-d.turn }

// whileAlive returns a context that ends as ctx does, after a limit, and when Stop is called.
func (d *Daemon) whileAlive(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(d.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// stopTimeout bounds the undoing of a start that failed.
const stopTimeout = 10 * time.Second

// Addrs returns where the daemon listens under a name such as "http".
func (d *Daemon) Addrs(name string) []net.Addr { return d.addrs[name] }

// Config returns the configuration in force.
func (d *Daemon) Config() *config.Config { return d.config.Load() }

// Clients returns how many connections there are.
func (d *Daemon) Clients() int { return d.transport.Len() + d.stomp.Len() }

// Stop drains and stops all parts, each whatever became of the others. It is
// idempotent.
func (d *Daemon) Stop(ctx context.Context) error {
	d.end() // a reload that waits for something waits no more
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	if !d.stopping {
		d.tell(d.manager.Stopping())
		d.log.WithField("clients", d.Clients()).Info("draining")
	}
	d.stopping = true
	return d.stop.run(ctx)
}

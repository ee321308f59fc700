package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/httpapi"
	"github.com/orbitd/orbitd/pkg/httpserver"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
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

	config  atomic.Pointer[config.Config]
	verdict atomic.Pointer[admin.Verdict] // of the last reload
	asked   atomic.Pointer[[]auth.Named]  // members, for metrics

	mu       sync.Mutex // held by Reload and Stop
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

// stopTimeout bounds the undoing of a start that failed.
const stopTimeout = 10 * time.Second

func (d *Daemon) start(o Options) error {
	c, err := o.Load()
	if err != nil {
		return err
	}
	d.config.Store(c)
	setLogging(d.log, c.Log)
	d.warn(c)
	listeners, err := d.listen(c, o.Listeners)
	if err != nil {
		return err
	}
	set, err := d.identities(c)
	if err != nil {
		return err
	}
	if len(set.Identities) > 0 {
		d.tls = tlsconf.NewServer(set, d.now)
	}
	rights, err := newRights(c, d.surroundings(nil))
	if err != nil {
		return err
	}
	d.kept, d.members = rights.kept, rights.members
	d.asked.Store(&rights.members)
	d.stop.add("authenticators", func(context.Context) error {
		closeKept(d.kept, nil)
		return nil
	})
	if err := d.startCore(c, rights, o.Version); err != nil {
		return err
	}
	d.rounds = startRounds(rights.members, d.everybody(), d.log)
	d.stop.add("rounds", func(context.Context) error { d.rounds.stop(); return nil })
	return d.startDoors(c, o, listeners)
}

// warn tells loudly which applications are disabled, and what is configured in
// vain.
func (d *Daemon) warn(c *config.Config) {
	for _, app := range c.Disabled {
		Report(d.log.WithField("app", app.Name), "this application is disabled until its file is right", app.Err)
	}
	for _, p := range c.NoEffect {
		d.log.WithFields(logrus.Fields{"at": place(p), "hint": p.Hint}).Warn(p.Text)
	}
}

// startCore makes engine, broker, loops, hub, sessions and transport.
func (d *Daemon) startCore(c *config.Config, r *rights, version string) (err error) {
	if d.engine, err = openEngine(c, r, d.log, d.now); err != nil {
		return err
	}
	d.stop.add("engine", d.engine.Close)
	s := d.engine.Status()
	d.log.WithFields(logrus.Fields{"type": c.Engine.Type, "path": c.Engine.Path, "epoch": s.Epoch.String(), "offset": s.Visible}).
		Info("the engine is open")
	d.broker, err = broker.New(broker.Options{Engine: d.engine, Rights: r.Rights, MaxMessage: int(c.Session.MaxMessage), Now: d.now})
	if err != nil {
		return err
	}
	d.setIssuer(r.issuer)
	if d.reactor, err = reactor.New(reactor.Options{Logger: d.log, Now: d.now, Loops: maxLoops()}); err != nil {
		return err
	}
	d.stop.add("reactor", d.reactor.Close)
	d.stop.add("broker", func(context.Context) error { d.broker.Close(); return nil })
	return d.startSessions(c, version)
}

func (d *Daemon) startSessions(c *config.Config, version string) (err error) {
	loops := d.reactor.Loops()
	var hubLoops []hub.Loop
	var sessionLoops []session.Loop
	for _, loop := range loops {
		hubLoops, sessionLoops = append(hubLoops, loop), append(sessionLoops, loop)
	}
	d.hub = hub.New(hubLoops)
	d.gate = origin.NewGate(gateRules(c))
	d.sessions, err = session.NewManager(session.Options{
		Broker: d.broker, Hub: d.hub, Loops: sessionLoops, Limits: sessionLimits(c.Session), Logger: d.log, Now: d.now,
	})
	if err != nil {
		return err
	}
	d.stomp, err = stomp.New(stomp.Options{
		Broker: d.broker, Hub: d.hub, Loops: loops, Limits: stompLimits(c.Session), Version: version, Logger: d.log, Now: d.now,
	})
	if err != nil {
		return err
	}
	d.transport, err = transport.New(transport.Options{
		Broker: d.broker, Sessions: d.sessions, Loops: loops, Limits: transportLimits(c.Session),
		Gate: d.gate, Others: overWebSocket(d.stomp), Logger: d.log, Now: d.now,
		CompressFrom: int(c.Server.Compression),
		Idle:         func(c *reactor.Conn) reactor.Handler { return d.front.Idle(c) },
	})
	if err != nil {
		return err
	}
	stopTail := d.engine.Tail(d.hub.Commit)
	d.stop.add("delivery", func(context.Context) error { stopTail(); return nil })
	return nil
}

// startDoors serves on the listeners.
func (d *Daemon) startDoors(c *config.Config, o Options, listeners map[string][]net.Listener) error {
	api, err := httpapi.New(httpapi.Options{
		Broker: d.broker, Issuer: d.currentIssuer, Ended: d.everybody().loginEnded, TokenOf: transport.TokenOf, Cookie: transport.Cookie,
		Gate: d.gate, Logger: d.log, CompressFrom: int(c.Server.Compression),
	})
	if err != nil {
		return err
	}
	d.front, err = httpserver.New(httpserver.Options{
		Reactor: d.reactor, Handler: d.strict(doors(d.gate, d.transport, api, pages(d.hasDemo))), UpgradePath: transport.Path, Upgrade: d.transport.Upgrade,
		Logger: d.log, Now: d.now,
	})
	if err != nil {
		return err
	}
	d.stop.add("http server", func(ctx context.Context) error { return d.within(ctx, requestTime, d.front.Shutdown, nil) })
	d.stop.add("connections", d.drain)
	d.stop.add("accepting", func(context.Context) error {
		d.front.Unlisten()
		for _, l := range slices.Concat(listeners["stomp"], listeners["stomps"]) {
			d.reactor.Unlisten(l)
		}
		return nil
	})
	if err := d.serve(listeners); err != nil {
		return err
	}
	counted, err := d.metrics()
	if err != nil {
		return err
	}
	d.attend("ops", ops(d.engine, o.Version, func() (int, int) { return d.reactor.Len(), d.sessions.Count() }, counted), 10*time.Second, listeners["ops"])
	d.attend("control", admin.NewHandler(d), 0, listeners["control"])
	d.watchTLS()
	d.startPulse(o.Watchdog)
	return nil
}

// serve accepts clients. Where there is no certificate there is no listener for
// https and stomps: see listen.
func (d *Daemon) serve(listeners map[string][]net.Listener) error {
	for _, l := range listeners["http"] {
		if err := d.front.Listen(l); err != nil {
			return err
		}
	}
	for _, l := range listeners["stomp"] {
		if err := d.reactor.Listen(l, d.stomp.Accept); err != nil {
			return err
		}
	}
	if d.tls == nil {
		return nil
	}
	for _, l := range listeners["stomps"] {
		if err := d.reactor.ListenTLS(l, d.tls.Config(), d.stomp.Accept); err != nil {
			return err
		}
	}
	secured := d.tls.Config(httpserver.Protocols()...)
	for _, l := range listeners["https"] {
		if err := d.front.ListenTLS(l, secured); err != nil {
			return err
		}
	}
	return nil
}

// doors sends each request to its handler. No http.ServeMux sees the calls: it
// would redirect a channel such as /a/../b to another one.
func doors(gate *origin.Gate, transports *transport.Server, api, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case !gate.HostAllowed(r.Host):
			misdirected(w)
		case transports.Serves(path):
			transports.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/v1/"):
			api.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
}

// misdirected answers who has called by a name that is none of the server's.
func misdirected(w http.ResponseWriter) {
	e := message.Errorf(message.Forbidden, "this server is not called by that name (Host); add it to server.hosts")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusMisdirectedRequest)
	_, _ = w.Write(append(protocol.AppendError(nil, 0, e), '\n')) // a peer that has gone does not read it
}

// attend serves operators on their own listeners, so that no public port has what
// is theirs. writing bounds how long an answer may take, 0 not at all.
func (d *Daemon) attend(name string, h http.Handler, writing time.Duration, listeners []net.Listener) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: writing,
		MaxHeaderBytes: 16 << 10,
	}
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				d.log.WithError(err).Errorf("the %s listener has failed", name)
			}
		})
	}
	d.stop.add(name, func(ctx context.Context) error {
		err := d.within(ctx, opsTime, server.Shutdown, server.Close)
		serving.Wait()
		return err
	})
}

// within has a server wait for its peers no longer than limit, so that one of
// them cannot take the time that the steps behind need. Those that are not done
// then are cut off: by the server itself, or by cut.
func (d *Daemon) within(ctx context.Context, limit time.Duration, shutdown func(context.Context) error, cut func() error) error {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := shutdown(short)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if cut != nil {
		err = errors.Join(err, cut())
	}
	if ctx.Err() != nil {
		return err
	}
	d.log.WithError(err).Warn("requests that were not complete were cut off")
	return nil
}

// drain tells the clients to come back, and waits until they have gone.
func (d *Daemon) drain(ctx context.Context) error {
	d.transport.Drain(drainSpread)
	d.stomp.Drain()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	limit := time.NewTimer(drainTime)
	defer limit.Stop()
	for d.Clients() > 0 {
		select {
		case <-every.C:
		case <-limit.C:
			return nil // those that do not take their farewell are cut off
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

const (
	drainSpread = 2 * time.Second // over which clients come back
	drainTime   = 3 * time.Second // for them to take their farewell
	requestTime = 2 * time.Second // for requests to be answered
	opsTime     = time.Second     // and those of operators
)

// Addrs returns where the daemon listens under a name such as "http".
func (d *Daemon) Addrs(name string) []net.Addr { return d.addrs[name] }

// Config returns the configuration in force.
func (d *Daemon) Config() *config.Config { return d.config.Load() }

// Clients returns how many connections there are.
func (d *Daemon) Clients() int { return d.transport.Len() + d.stomp.Len() }

// Reload reads the configuration again and puts rules, users, keys, origins, the
// certificate and the log's level in force, without touching a connection but for subscriptions
// that are allowed no more. When it returns, no message is delivered that the
// new rules forbid. On an error everything is as it was, but for
// [ErrNotRechecked]. The log and the service manager are told what became of it.
func (d *Daemon) Reload(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return errors.New("the daemon is stopping")
	}
	d.tell(d.manager.Reloading())
	before := d.Config()
	err := d.reload(ctx)
	d.judge(before, err)
	d.tell(d.manager.Status(d.summary()))
	d.tell(d.manager.Ready())
	return err
}

func (d *Daemon) reload(ctx context.Context) error {
	c, err := d.load()
	if err != nil {
		return err
	}
	rights, err := newRights(c, d.surroundings(d.kept))
	if err != nil {
		return err
	}
	set, err := d.identities(c)
	if err != nil {
		rights.discard()
		return err
	}
	d.warn(c)
	for _, section := range needRestart(d.Config(), c) {
		d.log.WithField("section", section).Warn(atRestart)
	}
	setLogging(d.log, c.Log)
	d.broker.SetRights(rights.Rights)
	d.setIssuer(rights.issuer)
	if d.tls != nil && len(set.Identities) > 0 {
		d.tls.Use(set)
	}
	d.gate.Set(gateRules(c))
	d.config.Store(c)
	d.useKept(rights)
	_ = renewAll(ctx, d.members, d.everybody(), "", d.log) // it is logged; if there was no time, recheck says so
	return d.recheck(ctx, "")
}

// Recheck looks up again what is true of the users who are connected, all or the one
// that is named, in directories and users' files, and judges their rights, without
// reading the configuration. When it returns, no message is delivered that is not
// allowed. A users' file that is not right leaves the users as they were.
func (d *Daemon) Recheck(ctx context.Context, user string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return errors.New("the daemon is stopping")
	}
	var errs []error
	for _, m := range d.members {
		if file, ok := m.Authenticator.(*fileauth.Authenticator); ok {
			errs = append(errs, file.Reload())
		}
	}
	errs = append(errs, renewAll(ctx, d.members, d.everybody(), user, d.log), d.recheck(ctx, user))
	return errors.Join(errs...)
}

// recheck has all clients judged again, or those of a user.
func (d *Daemon) recheck(ctx context.Context, user string) error {
	if err := d.everybody().RecheckWhere(ctx, clientsOf(user)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRechecked, err)
	}
	return nil
}

// useKept puts the directories and key sets of r in the place of those before, which
// nobody asks any more but for logins that are judged again.
func (d *Daemon) useKept(r *rights) {
	d.rounds.stop()
	closeKept(d.kept, r.kept)
	d.kept, d.members = r.kept, r.members
	d.asked.Store(&r.members)
	d.rounds = startRounds(r.members, d.everybody(), d.log)
}

// ErrNotRechecked says that a reload has put the new configuration in force, but
// could not wait until it was applied to every client.
var ErrNotRechecked = errors.New("not all clients have been looked at again in time; reload once more")

// Stop drains and stops all parts, each whatever became of the others. It is
// idempotent.
func (d *Daemon) Stop(ctx context.Context) error {
	d.end() // a reload that waits for something waits no more
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stopping {
		d.tell(d.manager.Stopping())
		d.log.WithField("clients", d.Clients()).Info("draining")
	}
	d.stopping = true
	return d.stop.run(ctx)
}

func (d *Daemon) setIssuer(i httpapi.Issuer) { d.issuer.Store(&i) }

func (d *Daemon) currentIssuer() httpapi.Issuer { return *d.issuer.Load() }

// openEngine opens the engine that is configured.
func openEngine(c *config.Config, r *rights, log logrus.FieldLogger, now func() time.Time) (engine.Engine, error) {
	e, err := makeEngine(c, r, log, now)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%w\nhint: stop the other one, or give this one an engine.path of its own", err)
	}
	if _, ok := errors.AsType[*seglog.CorruptError](err); ok {
		return nil, fmt.Errorf("%w\nhint: nothing was changed; \"orbitd check --engine\" names all that is damaged, and with --export saves what is not", err)
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("%w\nhint: engine.path must be a folder that orbitd may make and write to", err)
	}
	return e, err
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/httpapi"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
	"github.com/orbitd/orbitd/pkg/session"
	"github.com/orbitd/orbitd/pkg/stomp"
	"github.com/orbitd/orbitd/pkg/tlsconf"
	"github.com/orbitd/orbitd/pkg/transport"
)

func (d *Daemon) start(o Options) error {
	c, err := o.Load()
	if err != nil {
		return err
	}
	d.begun = c
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
	d.warnOf(c.Warnings)
}

func (d *Daemon) warnOf(all config.Problems) {
	for _, p := range all {
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
	d.warnOf(d.lookUnruled(c))
	d.broker, err = broker.New(broker.Options{Engine: d.engine, Rights: r.Rights, MaxMessage: int(c.Session.MaxMessage), Now: d.now})
	if err != nil {
		return err
	}
	d.setIssuer(r.issuer)
	if d.reactor, err = reactor.New(reactor.Options{Logger: d.log, Now: d.now, Loops: maxLoops()}); err != nil {
		return err
	}
	d.stop.add("reactor", d.reactor.Close)
	d.stop.add("broker", d.broker.Close)
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
	if errors.Is(err, syscall.EROFS) {
		return nil, fmt.Errorf("%w\nhint: under systemd, ReadWritePaths= in a drop-in of orbitd.service lets it write to another engine.path: orbitd(8), UNITS", err)
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("%w\nhint: engine.path must be a folder that orbitd may make and write to", err)
	}
	return e, err
}

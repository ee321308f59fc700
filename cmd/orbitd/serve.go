package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
	"github.com/orbitd/orbitd/pkg/systemd"
)

func serveCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve",
		Short: "run the daemon",
		Long: `serve runs the daemon in the foreground. Sockets that systemd hands over are used
in place of the configured addresses.

SIGTERM and SIGINT drain: clients are told to come back, cursors are saved; a
second one ends the process at once.
SIGHUP reloads rules, users, keys, hosts, origins and the log's level, and keeps every
connection; a configuration with mistakes leaves the old one in force.`,
		Example: "  orbitd serve -c /etc/orbitd/orbitd.toml",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return failed(serve(file)) },
	}
	configFlag(c, &file)
	return c
}

// drainTimeout bounds the stop: systemd would wait longer than that.
const drainTimeout = 8 * time.Second

func serve(file string) error {
	thrift()
	log := logrus.New()
	listeners, err := systemd.Listeners()
	if err != nil {
		return err
	}
	stopped, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	// One place: what is asked for while a reload runs is one more reload.
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	defer signal.Stop(reloads)
	d, err := daemon.Start(daemon.Options{
		Load:      func() (*config.Config, error) { return config.Load(file) },
		Listeners: listeners, Logger: log, Version: version,
	})
	if err != nil {
		return err
	}
	giveBack()
	settled := time.After(settleTime)
	tell(log, systemd.Ready())
	log.WithFields(inForce(d)).WithField("version", version).Info("orbitd serves")
	for {
		select {
		case <-settled:
			giveBack()
		case <-reloads:
			if stopped.Err() == nil {
				reload(stopped, d, log)
			}
		case <-stopped.Done():
			release() // who asks twice does not want to wait; nothing is lost by it
			return stop(d, log)
		}
	}
}

// reload waits until the configuration is in force everywhere, unless the daemon
// is to stop.
func reload(ctx context.Context, d *daemon.Daemon, log *logrus.Logger) {
	tell(log, systemd.Reloading())
	defer func() { tell(log, systemd.Ready()) }()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := d.Reload(ctx); err != nil {
		meaning := "not reloaded; the old configuration stays in force"
		if errors.Is(err, daemon.ErrNotRechecked) {
			meaning = "reloaded, but not wholly applied"
		}
		daemon.Report(log, meaning, err)
		return
	}
	log.WithFields(inForce(d)).Info("reloaded")
}

// inForce says in numbers what the configuration came to.
func inForce(d *daemon.Daemon) logrus.Fields {
	c := d.Config()
	return logrus.Fields{"config": c.File, "authenticators": len(c.Auth), "rules": len(c.Rules), "disabled_apps": len(c.Disabled)}
}

func stop(d *daemon.Daemon, log *logrus.Logger) error {
	tell(log, systemd.Stopping())
	log.WithField("clients", d.Clients()).Info("draining")
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := d.Stop(ctx); err != nil {
		return fmt.Errorf("not stopped cleanly: %w", err)
	}
	log.Info("stopped")
	return nil
}

// tell logs that the service manager could not be told something: it is no
// reason to serve nobody.
func tell(log *logrus.Logger, err error) {
	if err != nil {
		log.WithError(err).Warn("the service manager was not told")
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
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
SIGHUP reloads rules, users, keys, hosts, origins, proxies, the certificate and the
log's level, and keeps every connection; a configuration with mistakes leaves the old
one in force. "orbitd reload" does the same, and waits for what becomes of it.`,
		Example: "  orbitd serve -c /etc/orbitd/orbitd.toml",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return serve(file) },
	}
	configFlag(c, &file)
	return c
}

// drainTimeout bounds the stop: systemd would wait longer than that.
const drainTimeout = 8 * time.Second

func serve(file string) error {
	thrift()
	log := logrus.New()
	journaled := systemd.UseJournal(log)
	stopped, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	// One place: what is asked for while a reload runs is one more reload.
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	defer signal.Stop(reloads)
	d, err := start(file, log)
	if err != nil && journaled {
		daemon.Report(log, "not started", err)
		why, _, _ := strings.Cut(err.Error(), "\n")
		_ = systemd.Manager{}.Status("not started: " + why) // the log has it in any case
		holdOff(stopped)
		return &exitError{code: exitFailure}
	}
	if err != nil {
		return failed(err)
	}
	giveBack()
	settled := time.After(settleTime)
	if err := (systemd.Manager{}).Ready(); err != nil {
		log.WithError(err).Warn("the service manager was not told")
	}
	log.WithFields(daemon.InForce(d.Config())).WithField("version", version).Info("orbitd serves")
	for {
		select {
		case <-settled:
			giveBack()
		case <-reloads:
			if stopped.Err() == nil {
				// It ends in time, and with the daemon; what becomes of it, the daemon tells.
				_ = d.Reload(stopped)
			}
		case <-stopped.Done():
			release() // who asks twice does not want to wait; nothing is lost by it
			return failed(stop(d, log))
		}
	}
}

func start(file string, log *logrus.Logger) (*daemon.Daemon, error) {
	listeners, err := systemd.Listeners()
	if err != nil {
		return nil, err
	}
	watchdog, err := systemd.Manager{}.Watchdog()
	if err != nil {
		return nil, err
	}
	return daemon.Start(daemon.Options{
		Load:      func() (*config.Config, error) { return config.Load(file) },
		Listeners: listeners, Logger: log, Version: version,
		Manager: systemd.Manager{}, Watchdog: watchdog,
	})
}

// startPause is how long a service that cannot start waits before it says so: it
// is started again at once, for who was killed should be back at once, and would
// fill the log.
const startPause = 3 * time.Second

// holdOff waits, but for who does not want to.
func holdOff(stopped context.Context) {
	select {
	case <-time.After(startPause):
	case <-stopped.Done():
	}
}

func stop(d *daemon.Daemon, log *logrus.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := d.Stop(ctx); err != nil {
		return fmt.Errorf("not stopped cleanly: %w", err)
	}
	log.Info("stopped")
	return nil
}

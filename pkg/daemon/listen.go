package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/systemd"
)

// listen returns the listeners of every front door, by name: those that were
// handed over, or else one on the configured address. They are closed by the
// last step of the stop.
func (d *Daemon) listen(c *config.Config, inherited map[string][]net.Listener) (map[string][]net.Listener, error) {
	d.stop.add("inherited listeners", func(context.Context) error { return closeAll(inherited) })
	doors := map[string]string{"http": c.Server.HTTP, "https": c.Server.HTTPS, "stomp": c.Server.STOMP, "stomps": c.Server.STOMPS, "ops": c.Server.Ops, "control": c.Server.Control}
	for _, name := range slices.Sorted(maps.Keys(inherited)) {
		if _, ok := doors[name]; !ok {
			return nil, fmt.Errorf("%s, on %s, fits no front door\nhint: write FileDescriptorName= with one of %s in that unit, or disable it",
				systemd.Describe(name), inherited[name][0].Addr(), strings.Join(slices.Sorted(maps.Keys(doors)), ", "))
		}
	}
	for _, name := range []string{"https", "stomps"} {
		if len(inherited[name]) > 0 && c.TLS.Certificate == "" {
			return nil, fmt.Errorf("the service manager hands over a socket for %s, and there is no certificate\nhint: write certificate and key in [tls], or disable that socket unit", name)
		}
	}
	open := map[string][]net.Listener{}
	d.stop.add("listeners", func(context.Context) error { return closeAll(open) })
	for _, name := range slices.Sorted(maps.Keys(doors)) {
		if len(inherited[name]) > 0 {
			open[name] = inherited[name]
			continue
		}
		if doors[name] == "" {
			continue
		}
		l, err := listenOn(name, doors[name])
		if err != nil && doors[name] == config.DefaultControl {
			d.log.WithError(err).Info("there is no control socket; server.control says where, and \"\" that none is wanted")
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("server.%s: %w%s", name, err, listenHint(err))
		}
		open[name] = append(open[name], l)
	}
	if len(open["http"])+len(open["https"])+len(open["stomp"])+len(open["stomps"]) == 0 {
		return nil, errors.New("nothing to listen on: set server.http, https, stomp or stomps")
	}
	for name, listeners := range open {
		for _, l := range listeners {
			d.addrs[name] = append(d.addrs[name], l.Addr())
			d.log.WithField("address", l.Addr().String()).Infof("listening for %s", name)
		}
	}
	return open, nil
}

func listenOn(name, address string) (net.Listener, error) {
	if name == "control" {
		return listenControl(address)
	}
	return net.Listen("tcp", address)
}

// controlMode lets the owner and the group of the socket control the daemon.
const controlMode = 0o660

// listenControl makes the control socket. A daemon that was killed leaves its own
// behind, on which nobody answers: that is replaced.
func listenControl(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, controlMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func abandoned(path string) bool {
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close() // somebody is there; that was to be known
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// listenHint returns what to do about the common reasons.
func listenHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "\nhint: another process listens there, maybe another orbitd; stop it, or choose another address"
	case errors.Is(err, syscall.EACCES):
		return "\nhint: ports below 1024 are root's: let systemd open it, in a socket unit; a Unix socket needs a folder to write to"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "\nhint: write the address of one of this host's interfaces"
	}
	return ""
}

func closeAll(open map[string][]net.Listener) error {
	for _, listeners := range open {
		for _, l := range listeners {
			_ = l.Close() // its server may have closed it already
		}
	}
	return nil
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"syscall"

	"github.com/orbitd/orbitd/pkg/config"
)

// listen returns the listeners of every front door, by name: those that were
// handed over, or else one on the configured address. They are closed by the
// last step of the stop.
func (d *Daemon) listen(c *config.Config, inherited map[string][]net.Listener) (map[string][]net.Listener, error) {
	d.stop.add("inherited listeners", func(context.Context) error { return closeAll(inherited) })
	doors := map[string]string{"http": c.Server.HTTP, "https": c.Server.HTTPS, "ops": c.Server.Ops}
	for _, name := range slices.Sorted(maps.Keys(inherited)) {
		if _, ok := doors[name]; !ok {
			return nil, fmt.Errorf("the service manager hands over a socket named %q, for which there is no front door; correct FileDescriptorName= in its socket unit", name)
		}
	}
	if len(inherited["https"]) > 0 && c.TLS.Certificate == "" {
		return nil, errors.New("the service manager hands over a socket for https, and there is no certificate; write certificate and key in [tls]")
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
		l, err := net.Listen("tcp", doors[name])
		if err != nil {
			return nil, fmt.Errorf("server.%s: %w%s", name, err, listenHint(err))
		}
		open[name] = append(open[name], l)
	}
	if len(open["http"])+len(open["https"]) == 0 {
		return nil, fmt.Errorf("nothing to listen on: set server.http or server.https")
	}
	for name, listeners := range open {
		for _, l := range listeners {
			d.addrs[name] = append(d.addrs[name], l.Addr())
			d.log.WithField("address", l.Addr().String()).Infof("listening for %s", name)
		}
	}
	return open, nil
}

// listenHint returns what to do about the common reasons.
func listenHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "\nhint: another process listens there, maybe another orbitd; stop it, or choose another port"
	case errors.Is(err, syscall.EACCES):
		return "\nhint: ports below 1024 are root's: let systemd open it, in a socket unit"
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

// Package systemd talks to the service manager: sockets that it hands over by
// name, and notifications of the daemon's state.
//
// It knows nothing of what is served on the sockets.
package systemd

import (
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Listeners returns the sockets that the service manager handed over, by the
// name of their socket unit (FileDescriptorName=). There are none where the
// daemon was started by hand. It may be called once.
func Listeners() (map[string][]net.Listener, error) {
	byName := map[string][]net.Listener{}
	for _, f := range activation.Files(true) {
		l, err := net.FileListener(f)
		_ = f.Close() // l has a duplicate
		if err != nil {
			return nil, fmt.Errorf("socket %q from systemd is not one to accept connections on (ListenStream= in its socket unit): %w", f.Name(), err)
		}
		byName[f.Name()] = append(byName[f.Name()], l)
	}
	return byName, nil
}

// Ready says that the daemon serves, Reloading and Stopping what they say, and
// Status a text for `systemctl status`. All do nothing where no service manager
// listens.
func Ready() error { return notify(daemon.SdNotifyReady) }

// Reloading is followed by Ready.
func Reloading() error { return notify(daemon.SdNotifyReloading) }

// Stopping says that the daemon drains.
func Stopping() error { return notify(daemon.SdNotifyStopping) }

// Status replaces the status text.
func Status(text string) error { return notify("STATUS=" + text) }

func notify(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

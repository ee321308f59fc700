// Package systemd talks to the service manager: sockets that it hands over by
// name, notifications of the daemon's state, and the journal.
//
// It knows nothing of what is served on the sockets, and all of it does nothing
// where the daemon was started by hand.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Listeners returns the sockets that the service manager handed over, by the
// name of their socket unit (FileDescriptorName=); several may have one name.
// Where a unit says none, systemd takes the name of the unit. It may be called
// once.
func Listeners() (map[string][]net.Listener, error) {
	byName := map[string][]net.Listener{}
	for _, f := range activation.Files(true) {
		l, err := listener(f)
		if err != nil {
			return nil, fmt.Errorf("%s from systemd is not one to accept connections on (ListenStream=, without Accept=yes, in its socket unit): %w", Describe(f.Name()), err)
		}
		byName[f.Name()] = append(byName[f.Name()], l)
	}
	return byName, nil
}

// listener makes one of an inherited socket. A socket that is connected already,
// as Accept=yes has them, would only show at the first accept.
func listener(f *os.File) (net.Listener, error) {
	defer f.Close() // the listener has a duplicate
	if on, err := syscall.GetsockoptInt(int(f.Fd()), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err == nil && on == 0 {
		return nil, fmt.Errorf("it does not listen")
	}
	return net.FileListener(f)
}

// Describe returns what an operator finds an inherited socket by, given the name
// that it came with.
func Describe(name string) string {
	if strings.HasSuffix(name, ".socket") {
		return fmt.Sprintf("the socket of the unit %s, which has no FileDescriptorName=,", name)
	}
	return fmt.Sprintf("the socket of the unit with FileDescriptorName=%s", name)
}

// A Manager is the service manager that has started this process; none, where
// none has. The zero value is ready, and its methods may be called concurrently.
type Manager struct{}

// Ready says that the daemon serves, also after Reloading.
func (Manager) Ready() error { return notify(daemon.SdNotifyReady) }

// Reloading is followed by Ready. The time tells the manager which of several
// reloads that answers (Type=notify-reload).
func (Manager) Reloading() error {
	return notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the daemon drains.
func (Manager) Stopping() error { return notify(daemon.SdNotifyStopping) }

// Status replaces the status text of "systemctl status".
func (Manager) Status(text string) error { return notify("STATUS=" + text) }

// Alive says that the daemon is, for WatchdogSec=.
func (Manager) Alive() error { return notify(daemon.SdNotifyWatchdog) }

// Watchdog returns within which time the manager wants to hear Alive, again and
// again; 0 is never.
func (Manager) Watchdog() (time.Duration, error) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("the watchdog's time from systemd: %w", err)
	}
	return every, nil
}

func notify(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

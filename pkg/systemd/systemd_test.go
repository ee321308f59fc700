package systemd_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/systemd"
)

// TestMain is also the process that gets the sockets: they stand at fixed
// descriptors, and LISTEN_PID names who may take them.
func TestMain(m *testing.M) {
	if os.Getenv("LISTEN_PID") != "" {
		os.Exit(inherit())
	}
	os.Exit(m.Run())
}

func inherit() int {
	if os.Getenv("LISTEN_PID") == "self" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	listeners, err := systemd.Listeners()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, name := range slices.Sorted(maps.Keys(listeners)) {
		for _, l := range listeners[name] {
			fmt.Println(name, l.Addr())
		}
	}
	fmt.Printf("left %q\n", os.Getenv("LISTEN_FDS"))
	return 0
}

// handOver runs this binary with the sockets, as systemd would.
func handOver(t *testing.T, pid, names string, files ...*os.File) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.ExtraFiles = files
	c.Env = append(os.Environ(), "LISTEN_PID="+pid, fmt.Sprint("LISTEN_FDS=", len(files)), "LISTEN_FDNAMES="+names)
	out, err := c.Output()
	return string(out), err
}

func listener(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, l.Addr().String()
}

func TestListeners(t *testing.T) {
	first, a := listener(t)
	second, b := listener(t)
	third, c := listener(t)
	out, err := handOver(t, "self", "http:ops:http", first, second, third)
	if want := "http " + a + "\nhttp " + c + "\nops " + b + "\nleft \"\"\n"; err != nil || out != want {
		t.Errorf("%v, got\n%swant\n%s", err, out, want)
	}
}

func TestSocketsOfAnotherProcess(t *testing.T) {
	f, _ := listener(t)
	if out, err := handOver(t, "1", "http", f); err != nil || strings.Contains(out, "http") {
		t.Errorf("%v, %s", err, out)
	}
}

func TestNotAListener(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if out, err := handOver(t, "self", "http", f); err == nil || !strings.Contains(out, "FileDescriptorName=http from systemd is not one") {
		t.Errorf("%v, %s", err, out)
	}
}

// TestConnected: a unit with Accept=yes hands over a connection.
func TestConnected(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if out, err := handOver(t, "self", "orbitd@1.socket", f); err == nil || !strings.Contains(out, "unit orbitd@1.socket") || !strings.Contains(out, "Accept=yes") {
		t.Errorf("%v, %s", err, out)
	}
}

func TestNone(t *testing.T) {
	if listeners, err := systemd.Listeners(); err != nil || len(listeners) != 0 {
		t.Errorf("%v, %v", listeners, err)
	}
}

// manager listens as systemd does and returns what it is told.
func manager(t *testing.T) (told func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		b := make([]byte, 200)
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestNotifications(t *testing.T) {
	told := manager(t)
	var m systemd.Manager
	for want, tell := range map[string]func() error{
		"READY=1": m.Ready, "STOPPING=1": m.Stopping, "WATCHDOG=1": m.Alive,
		"STATUS=fine": func() error { return m.Status("fine") },
	} {
		if err := tell(); err != nil {
			t.Fatal(err)
		}
		if got := told(); got != want {
			t.Errorf("%q, want %s", got, want)
		}
	}
	if err := m.Reloading(); err != nil {
		t.Fatal(err)
	}
	if got := told(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*\n?$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

func TestWatchdog(t *testing.T) {
	var m systemd.Manager
	if every, err := m.Watchdog(); every != 0 || err != nil {
		t.Errorf("without a manager: %v, %v", every, err)
	}
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	for text, want := range map[string]time.Duration{"30000000": 30 * time.Second, "soon": 0} {
		t.Setenv("WATCHDOG_USEC", text)
		if every, err := m.Watchdog(); every != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %v, %v", text, every, err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	var m systemd.Manager
	t.Setenv("NOTIFY_SOCKET", "")
	if err := m.Ready(); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	if err := m.Ready(); err == nil {
		t.Error("nobody was told, and that is not said")
	}
}

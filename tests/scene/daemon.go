package scene

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
	"github.com/orbitd/orbitd/tests/loopback"
)

const config = `
[server]
http    = "%[1]s"
https   = "%[2]s"
ops     = ""
control = ""
%[3]s

[tls]
certificate = "cert.pem"
key         = "key.pem"

[engine]
path         = "engine"
segment_size = "1MiB"
min_free     = "1MiB"

[session]
command_rate  = 1_000_000
command_burst = 1_000_000

[[auth]]
type = "file"
path = "users"

[[auth]]
type = "token"

[[channel]]
match     = "/kill/**"
subscribe = ["*"]
publish   = ["*"]
`

// The user that every daemon knows.
const (
	User     = "durable"
	Password = "only here"
)

// build compiles the real binary.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "orbitd")
	out, err := exec.Command("go", "build", "-o", binary, "../../cmd/orbitd").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// A Daemon is orbitd in a folder of its own, run after run. The test's goroutine
// owns it.
type Daemon struct {
	Binary  string
	Address string
	Secure  string // the address with TLS
	Trusts  *tls.Config

	t       *testing.T
	folder  string
	log     *os.File
	process *exec.Cmd
}

// NewDaemon builds orbitd and makes its folder. It does not start it. more is put
// into the configuration's section server.
func NewDaemon(t *testing.T, more string) *Daemon {
	t.Helper()
	d := &Daemon{t: t, Binary: build(t), folder: t.TempDir(), Address: FreeAddress(t), Secure: FreeAddress(t)}
	authority := tlstest.NewAuthority()
	tlstest.Write(t, d.folder, authority.Certificate())
	d.Trusts = authority.Client()
	err := os.WriteFile(d.File("orbitd.toml"), fmt.Appendf(nil, config, d.Address, d.Secure, more), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if d.log, err = os.Create(d.File("log")); err != nil {
		t.Fatal(err)
	}
	d.addUser()
	t.Cleanup(func() {
		if d.process != nil {
			d.process.Process.Kill()
			d.process.Wait()
		}
		d.log.Close()
		if t.Failed() {
			t.Logf("the daemon's log ends with:\n%s", d.logTail())
		}
	})
	return d
}

func (d *Daemon) addUser() {
	d.t.Helper()
	cmd := exec.Command(d.Binary, "passwd", "--file", d.File("users"), User)
	cmd.Stdin = strings.NewReader(Password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("orbitd passwd: %v\n%s", err, out)
	}
}

// FreeAddress returns an address of the loopback on which nobody listens.
func FreeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.Free()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// File returns the path of one of its files.
func (d *Daemon) File(name string) string { return filepath.Join(d.folder, name) }

// PID is that of its process.
func (d *Daemon) PID() int { return d.process.Process.Pid }

// URL is where it is reached without TLS.
func (d *Daemon) URL() string { return "http://" + d.Address }

// A Door is how a client reaches the daemon.
type Door struct {
	URL    string
	Trusts *tls.Config // with https
	Second bool        // by HTTP/2, which WebSockets are not
}

// Door returns that of client i: every second one comes with TLS, and every second
// of these by HTTP/2.
func (d *Daemon) Door(i int) Door {
	if i%2 == 0 {
		return Door{URL: d.URL()}
	}
	return Door{"https://" + d.Secure, d.Trusts.Clone(), i%4 == 3}
}

func (d *Daemon) logTail() []byte {
	text, err := os.ReadFile(d.File("log"))
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-8<<10):]
}

// Start runs it.
func (d *Daemon) Start() {
	d.t.Helper()
	d.process = exec.Command(d.Binary, "serve", "-c", "orbitd.toml")
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	d.process.Dir = d.folder
	d.process.Stdout, d.process.Stderr = d.log, d.log
	if err := d.process.Start(); err != nil {
		d.t.Fatal(err)
	}
}

// Ready waits until the daemon answers.
func (d *Daemon) Ready(ctx context.Context) {
	d.t.Helper()
	for {
		res, err := http.Get(d.URL() + "/v1/history/kill/ready")
		if err == nil {
			res.Body.Close()
			return
		}
		select {
		case <-ctx.Done():
			d.t.Fatalf("the daemon does not answer: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the daemon as a crash would. Anything but death by that signal means
// that it had ended before.
func (d *Daemon) Kill() {
	d.t.Helper()
	d.process.Process.Kill()
	err := d.process.Wait()
	if status, ok := d.process.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		d.t.Fatalf("the daemon had ended by itself: %v", err)
	}
	d.process = nil
}

// Stop ends the daemon as an operator would.
func (d *Daemon) Stop() {
	d.t.Helper()
	d.process.Process.Signal(syscall.SIGTERM)
	if err := d.process.Wait(); err != nil {
		d.t.Errorf("after SIGTERM: %v", err)
	}
	d.process = nil
	if text, err := os.ReadFile(d.File("log")); err != nil || bytes.Contains(text, []byte("panic")) {
		d.t.Errorf("the daemon's log tells of a panic (%v)", err)
	}
}

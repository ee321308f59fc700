package kill

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

const config = `
[server]
http    = "%[1]s"
https   = "%[2]s"
ops     = ""
control = ""

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

// The user whose named sessions are tested.
const (
	user     = "durable"
	password = "only here"
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

// A daemon is orbitd in a folder of its own, run after run. The test's goroutine
// owns it.
type daemon struct {
	t       *testing.T
	binary  string
	folder  string
	address string
	secure  string // with TLS
	trusts  *tls.Config
	log     *os.File
	process *exec.Cmd
}

func newDaemon(t *testing.T, binary string) *daemon {
	t.Helper()
	d := &daemon{t: t, binary: binary, folder: t.TempDir(), address: freeAddress(t), secure: freeAddress(t)}
	authority := tlstest.NewAuthority()
	tlstest.Write(t, d.folder, authority.Certificate())
	d.trusts = authority.Client()
	err := os.WriteFile(d.file("orbitd.toml"), fmt.Appendf(nil, config, d.address, d.secure), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if d.log, err = os.Create(d.file("log")); err != nil {
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

func (d *daemon) addUser() {
	d.t.Helper()
	cmd := exec.Command(d.binary, "passwd", "--file", d.file("users"), user)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("orbitd passwd: %v\n%s", err, out)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *daemon) file(name string) string { return filepath.Join(d.folder, name) }
func (d *daemon) url() string             { return "http://" + d.address }

// A door is how a client reaches the daemon.
type door struct {
	url    string
	trusts *tls.Config // with https
	second bool        // by HTTP/2, which WebSockets are not
}

// door returns that of client i: every second one comes with TLS, and every second
// of these by HTTP/2.
func (d *daemon) door(i int) door {
	if i%2 == 0 {
		return door{url: d.url()}
	}
	return door{"https://" + d.secure, d.trusts.Clone(), i%4 == 3}
}

func (d *daemon) logTail() []byte {
	text, err := os.ReadFile(d.file("log"))
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-8<<10):]
}

func (d *daemon) start() {
	d.t.Helper()
	d.process = exec.Command(d.binary, "serve", "-c", "orbitd.toml")
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	d.process.Dir = d.folder
	d.process.Stdout, d.process.Stderr = d.log, d.log
	if err := d.process.Start(); err != nil {
		d.t.Fatal(err)
	}
}

// ready waits until the daemon answers.
func (d *daemon) ready(ctx context.Context) {
	d.t.Helper()
	for {
		res, err := http.Get(d.url() + "/v1/history/kill/ready")
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

// kill ends the daemon as a crash would. Anything but death by that signal means
// that it had ended before.
func (d *daemon) kill() {
	d.t.Helper()
	d.process.Process.Kill()
	err := d.process.Wait()
	if status, ok := d.process.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		d.t.Fatalf("the daemon had ended by itself: %v", err)
	}
	d.process = nil
}

// stop ends the daemon as an operator would.
func (d *daemon) stop() {
	d.t.Helper()
	d.process.Process.Signal(syscall.SIGTERM)
	if err := d.process.Wait(); err != nil {
		d.t.Errorf("after SIGTERM: %v", err)
	}
	d.process = nil
	if text, err := os.ReadFile(d.file("log")); err != nil || bytes.Contains(text, []byte("panic")) {
		d.t.Errorf("the daemon's log tells of a panic (%v)", err)
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
	"github.com/orbitd/orbitd/tests/bench/load"
	"github.com/orbitd/orbitd/tests/loopback"
)

const config = `
[server]
%s = "127.0.0.1:%d"
ops     = ""
control = ""

[engine]
path     = "engine"
min_free = "1MiB"

[log]
level = "warning"

[[channel]]
match     = "/memory/**"
subscribe = ["*"]
publish   = ["*"]
store     = "memory"
retain    = { messages = 1000 }

[[channel]]
match     = "/*/**"
subscribe = ["*"]
publish   = ["*"]

[app.bounded]
quota = { publish_rate = 1_000 }

[session]
max_sessions  = 100_000
`

// rate is behind config where clients that have not logged in go as fast as they can.
const rate = `command_rate  = 1_000_000
command_burst = 1_000_000
`

// backEnd is behind config where back ends log in instead.
const (
	backEnd = `
[[auth]]
type = "file"
path = "users"
`
	users = "bench:$argon2id$v=19$m=19456,t=2,p=1$UqWKjNiOHU/C3nwPeidgJw$yRwKn/M9beeHsPirkQ+PgNM130BDIwFT2r1Gl70epiU:\n"
)

// tlsConfig is what a door with TLS needs beside config.
const tlsConfig = `
[tls]
certificate = "cert.pem"
key         = "key.pem"
`

// A server is a process on its own core.
type server struct {
	cmd     *exec.Cmd
	log     bytes.Buffer
	address netip.AddrPort
	folder  string // orbitd's
	dialect load.Dialect
	profile string      // the folder for profiles, if any
	tls     *tls.Config // of its clients; nil without TLS
}

// startOrbitd starts orbitd in a folder; "" is a fresh one.
func (b *bench) startOrbitd(folder string) (*server, error) {
	return b.startDoor("http", folder, rate)
}

// startSecure starts orbitd with a door with TLS and a certificate of its own.
func (b *bench) startSecure(door string) (*server, error) {
	folder, err := b.temp()
	if err != nil {
		return nil, err
	}
	a := tlstest.NewAuthority()
	// One that ends soon is warned of.
	certificate, key := tlstest.Encode(a.CertificateUntil(time.Now().Add(900 * time.Hour)))
	err = errors.Join(
		os.WriteFile(filepath.Join(folder, "cert.pem"), certificate, 0o600),
		os.WriteFile(filepath.Join(folder, "key.pem"), key, 0o600),
	)
	if err != nil {
		return nil, err
	}
	s, err := b.startDoor(door, folder, rate+tlsConfig)
	if s != nil {
		s.tls = a.Client()
	}
	return s, err
}

// startDoor starts orbitd with one front door, and more in its configuration.
func (b *bench) startDoor(door, folder, more string) (*server, error) {
	if folder == "" {
		var err error
		if folder, err = b.temp(); err != nil {
			return nil, err
		}
	}
	s := &server{folder: folder, dialect: load.Orbit{}}
	var err error
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "orbitd.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config+more, door, s.address.Port()), 0o600); err != nil {
		return nil, err
	}
	if b.profile != "" {
		s.profile = filepath.Join(b.profile, strings.ReplaceAll(b.scenario, " ", "-"))
		if err := os.MkdirAll(s.profile, 0o755); err != nil {
			return nil, err
		}
	}
	return s, s.start(b.orbitd, "serve", "-c", file)
}

func (b *bench) startBareLoop() (*server, error) {
	s := &server{dialect: load.Bare{}}
	var err error
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	return s, s.start(b.bareloop, strconv.Itoa(int(s.address.Port())))
}

func freeAddress() (netip.AddrPort, error) {
	address, err := loopback.Free()
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.ParseAddrPort(address)
}

// start runs a command on the servers' core and waits until it listens.
func (s *server) start(name string, args ...string) error {
	s.cmd = exec.Command("taskset", append([]string{"-c", serverCore, name}, args...)...)
	s.cmd.Env = append(os.Environ(), "ORBITD_PROFILE="+s.profile)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		c, err := net.Dial("tcp4", s.address.String())
		if err == nil {
			return c.Close()
		}
		time.Sleep(time.Millisecond)
	}
	return errors.Join(fmt.Errorf("%s does not listen", name), s.stop())
}

// ready waits until orbitd answers a request.
func (s *server) ready(ctx context.Context) error {
	for ctx.Err() == nil {
		answer, err := http.Get("http://" + s.address.String() + "/v1/history/bench/0")
		if err == nil {
			return answer.Body.Close()
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

// stop kills the server and removes what it stored. What it said is an error.
func (s *server) stop() error {
	s.kill()
	if s.folder != "" {
		os.RemoveAll(s.folder)
	}
	if s.log.Len() > 0 {
		return fmt.Errorf("the server said: %.2000s", s.log.Bytes())
	}
	return nil
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// watch begins to measure something; what it returns ends that and tells the CPU
// time since then.
func (s *server) watch(what string) (used func() time.Duration) {
	if s.profile != "" {
		s.cmd.Process.Signal(syscall.SIGUSR1)
	}
	before := s.cpu()
	return func() time.Duration {
		used := s.cpu() - before
		if s.profile != "" {
			s.writeProfile(what)
		}
		return used
	}
}

// writeProfile waits until the profiles of the watched time are written.
func (s *server) writeProfile(what string) {
	s.cmd.Process.Signal(syscall.SIGUSR2)
	for range 1000 {
		if os.Remove(filepath.Join(s.profile, "done")) == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, kind := range []string{"cpu.pprof", "heap.pprof"} {
		if err := os.Rename(filepath.Join(s.profile, kind), filepath.Join(s.profile, what+"."+kind)); err != nil {
			fmt.Fprintln(os.Stderr, "bench: no profile:", err)
		}
	}
}

// clockTick is the unit of CPU time in /proc (proc_pid_stat(5)).
const clockTick = 10 * time.Millisecond

// cpu returns the time that the process has run.
func (s *server) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		panic(err) // it is our child, and not waited for yet
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	user, _ := strconv.Atoi(string(fields[11]))
	system, _ := strconv.Atoi(string(fields[12]))
	return time.Duration(user+system) * clockTick
}

// resident returns the bytes of memory that the process has.
func (s *server) resident() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid))
	if err != nil {
		panic(err) // it is our child, and not waited for yet
	}
	_, rest, _ := bytes.Cut(text, []byte("Rss:"))
	kilobytes, _ := strconv.Atoi(string(bytes.Fields(rest)[0]))
	return float64(kilobytes) * 1024
}

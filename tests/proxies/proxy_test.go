package proxies

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orbitd/orbitd/tests/scene"
)

// A proxy is one process of a proxy, with its children. The test's goroutine owns it.
type proxy struct {
	t         *testing.T
	name      string
	folder    string
	args      []string
	reloads   syscall.Signal // has it read its configuration again, and keep connections
	addresses []string       // on which it listens
	process   *exec.Cmd
}

// newProxy makes a proxy that runs args and listens at the addresses. It does not
// start it.
func newProxy(t *testing.T, args []string, reloads syscall.Signal, addresses ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, name: filepath.Base(args[0]), args: args, reloads: reloads, addresses: addresses}
	p.folder = filepath.Dir(args[len(args)-1])
	t.Cleanup(func() {
		p.kill()
		if text, err := os.ReadFile(p.log()); t.Failed() && err == nil {
			t.Logf("the log of %s ends with:\n%s", p.name, text[max(0, len(text)-4<<10):])
		}
	})
	return p
}

func (p *proxy) log() string { return filepath.Join(p.folder, "log") }

// start runs it, and waits until it listens.
func (p *proxy) start(ctx context.Context) {
	p.t.Helper()
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	must(p.t, err)
	defer log.Close()
	p.process = exec.Command(p.args[0], p.args[1:]...)
	// By SIGTERM it ends its children, too.
	p.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.process.Stdout, p.process.Stderr = log, log
	must(p.t, p.process.Start())
	for _, address := range p.addresses {
		for {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil {
				c.Close()
				break
			}
			if ctx.Err() != nil || p.process.Process.Signal(syscall.Signal(0)) != nil {
				p.t.Fatalf("%s does not listen at %s: %v", p.name, address, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// kill ends it and its children as a crash would.
func (p *proxy) kill() {
	if p.process == nil {
		return
	}
	_ = syscall.Kill(-p.process.Process.Pid, syscall.SIGKILL)
	_ = p.process.Wait() // how is known
	p.process = nil
}

// stop ends it as an operator would who does not wait for connections to end.
func (p *proxy) stop() {
	p.t.Helper()
	must(p.t, p.process.Process.Signal(syscall.SIGTERM))
	_ = p.process.Wait() // httpd and haproxy say by their status that they were killed
	p.process = nil
}

func (p *proxy) reload() {
	p.t.Helper()
	must(p.t, p.process.Process.Signal(p.reloads))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A site is one way in: an address of a proxy, and what is to be known of it.
type site struct {
	name     string
	daemon   *scene.Daemon // behind it
	address  string
	tls      bool // and HTTP/2
	upgrades bool // WebSockets get through
	buffers  bool // holds answers back until they are complete
}

func (s *site) String() string { return s.name }

func (s *site) url() string {
	if s.tls {
		return "https://" + s.address
	}
	return "http://" + s.address
}

// door is how clients reach it by HTTP/1.1.
func (s *site) door() scene.Door {
	if s.tls {
		return scene.Door{URL: s.url(), Trusts: s.daemon.Trusts.Clone()}
	}
	return scene.Door{URL: s.url()}
}

// doors are all ways to reach it.
func (s *site) doors() []scene.Door {
	one := s.door()
	if !s.tls {
		return []scene.Door{one}
	}
	return []scene.Door{one, {URL: one.URL, Trusts: one.Trusts.Clone(), Second: true}}
}

// A street is a daemon and all proxies in front of it.
type street struct {
	daemon                 *scene.Daemon
	nginx, haproxy, apache *proxy
	sites                  []*site
}

// newStreet makes the configurations for a daemon that trusts 127.0.0.1. Nothing is
// started.
func newStreet(t *testing.T, d *scene.Daemon) *street {
	t.Helper()
	for _, program := range []string{nginx, haproxy, apache} {
		_, err := os.Stat(program)
		switch {
		case err != nil && testing.Short():
			t.Skip(err)
		case err != nil:
			t.Fatalf("%v: apt-get install nginx haproxy apache2-bin", err)
		}
	}
	s := &street{daemon: d}
	s.nginx = s.newNginx(t)
	s.haproxy = s.newHAProxy(t)
	s.apache = s.newApache(t)
	return s
}

const trusted = `trusted_proxies = ["127.0.0.1"]`

func (s *street) start(ctx context.Context) {
	s.daemon.Start()
	s.daemon.Ready(ctx)
	for _, p := range []*proxy{s.nginx, s.haproxy, s.apache} {
		p.start(ctx)
	}
}

// add makes a site and returns its address.
func (s *street) add(t *testing.T, x site) string {
	x.address, x.daemon = scene.FreeAddress(t), s.daemon
	s.sites = append(s.sites, &x)
	return x.address
}

// recipe reads a file of etc/proxies and puts the test's addresses and files in the
// place of those in it, of which each is there.
func recipe(t *testing.T, name string, replacements ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../etc/proxies/" + name)
	must(t, err)
	return replaced(t, string(text), replacements...)
}

func replaced(t *testing.T, text string, replacements ...string) string {
	t.Helper()
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("there is no %q in\n%s", replacements[i], text)
		}
		text = strings.ReplaceAll(text, replacements[i], replacements[i+1])
	}
	return text
}

// folder makes one that servers may read which give up being root.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

package slapd

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	ldap "github.com/go-ldap/ldap/v3"

	"github.com/orbitd/orbitd/tests/loopback"
)

// The names of the directory and of those who administer and search it.
const (
	Base            = "dc=example,dc=org"
	People          = "ou=people," + Base
	Groups          = "ou=groups," + Base
	Service         = "cn=orbitd,ou=services," + Base
	ServicePassword = "orbitd-secret"
	admin           = "cn=admin," + Base
	adminPassword   = "admin-secret"
)

// Options are what a test wants to be different.
type Options struct {
	// Config are further lines for the database, such as "limits".
	Config []string
	// Global are further lines above it, such as "allow bind_anon_dn".
	Global []string
	// Referral is a server that holds what is below Away.
	Referral string
}

// Away is the part of the directory that another server holds.
const Away = "ou=away," + People

// A Server is a running slapd. Its methods are for the test's own goroutine.
type Server struct {
	t   testing.TB
	dir string
	cmd *exec.Cmd

	Plain  string // URLs
	Secure string
	Socket string
	CA     string // path of the certificate of who signed the server's
	Other  string // of somebody who did not
	Log    string // path
}

// Installed skips a short test on a machine without slapd, and fails any other.
func Installed(t testing.TB) {
	t.Helper()
	switch _, err := os.Stat(binary); {
	case err == nil:
	case testing.Short():
		t.Skip("slapd is not installed: tests/run installs it; a short run goes without")
	default:
		t.Fatal("slapd is not installed: apt-get install slapd")
	}
}

const binary = "/usr/sbin/slapd"

// Start runs a server with the sample of people and groups until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	Installed(t)
	dir, err := os.MkdirTemp("", "slapd") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, Log: filepath.Join(dir, "log")}
	t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(dir)
	})
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.CA, s.Other = certificates(t, dir)
	s.configure(o)
	for range 3 { // somebody else may have taken one of the ports
		s.choosePorts()
		if err = s.run(); err == nil {
			s.load(sample(o.Referral))
			s.Set(Person("expired"), "pwdChangedTime", "20200101000000Z")
			return s
		}
	}
	log, _ := os.ReadFile(s.Log)
	t.Fatalf("slapd does not start: %v\n%s", err, log)
	return nil
}

func (s *Server) choosePorts() {
	ports := make([]string, 2)
	for i := range ports {
		var err error
		if ports[i], err = loopback.Free(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.Plain, s.Secure = "ldap://"+ports[0], "ldaps://"+ports[1]
	s.Socket = "ldapi://" + url.QueryEscape(filepath.Join(s.dir, "ldapi"))
}

var configuration = template.Must(template.New("").Parse(`modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload refint
moduleload ppolicy
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
pidfile {{.Dir}}/pid
argsfile {{.Dir}}/args
TLSCACertificateFile {{.Dir}}/ca.pem
TLSCertificateFile {{.Dir}}/server.pem
TLSCertificateKeyFile {{.Dir}}/server.key
threads 4
localssf 256
{{range .Global}}{{.}}
{{end}}database mdb
suffix "{{.Base}}"
rootdn "{{.Admin}}"
rootpw {{.Password}}
directory {{.Dir}}/db
maxsize 268435456
dbnosync
index objectClass,uid,mail,member,memberOf eq
{{range .Config}}{{.}}
{{end}}overlay memberof
memberof-refint TRUE
overlay refint
refint_attributes member memberOf
overlay ppolicy
ppolicy_default "cn=default,ou=policies,{{.Base}}"
ppolicy_use_lockout
ppolicy_hash_cleartext
access to attrs=userPassword by self write by anonymous auth by * none
access to * by dn.base="{{.Service}}" read by self read by anonymous auth by * none
`))

func (s *Server) configure(o Options) {
	var text bytes.Buffer
	err := configuration.Execute(&text, map[string]any{
		"Dir": s.dir, "Base": Base, "Admin": admin, "Password": adminPassword, "Service": Service, "Global": o.Global, "Config": o.Config,
	})
	if err := errors.Join(err, os.WriteFile(filepath.Join(s.dir, "slapd.conf"), text.Bytes(), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, "-f", filepath.Join(s.dir, "slapd.conf"), "-h", strings.Join([]string{s.Plain, s.Secure, s.Socket}, " "), "-d", "stats")
	cmd.Stdout, cmd.Stderr = log, log
	// A test that is killed leaves none behind. To the kernel a parent ends with the
	// thread that has started the child, which therefore stays.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if started <- err; err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	for {
		c, err := ldap.DialURL(s.Socket)
		if err == nil {
			_ = c.Close()
			s.cmd = cmd
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("it has ended: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop kills the server, as a power cut would; its data stays. It is idempotent.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	for s.cmd.Process.Signal(syscall.Signal(0)) == nil { // run waits for it
		time.Sleep(time.Millisecond)
	}
	s.cmd = nil
}

// Restart starts a stopped server again, where it was.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.run(); err != nil {
		s.t.Fatal(err)
	}
}

// Freeze has the server accept connections and answer nothing, until Thaw.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	for !s.stopped() { // each thread stops when it gets to it
		time.Sleep(time.Millisecond)
	}
}

// stopped reports whether all threads of the process are (proc(5)).
func (s *Server) stopped() bool {
	s.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		if _, rest, _ := bytes.Cut(text, []byte(") ")); !bytes.HasPrefix(rest, []byte("T")) {
			return false
		}
	}
	return true
}

// Thaw ends Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(which syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(which); err != nil {
		s.t.Fatal(err)
	}
}

// Admin runs f with a connection that may do anything.
func (s *Server) Admin(f func(*ldap.Conn) error) {
	s.t.Helper()
	c, err := ldap.DialURL(s.Socket)
	if err == nil {
		defer func() { _ = c.Close() }()
		err = c.Bind(admin, adminPassword)
	}
	if err == nil {
		err = f(c)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Add adds an entry; each attribute is "name: value".
func (s *Server) Add(dn string, attributes ...string) {
	s.t.Helper()
	s.load([]entry{{dn, attributes}})
}

// Delete removes an entry.
func (s *Server) Delete(dn string) {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}

// Set replaces the values of an attribute, of whatever kind it is.
func (s *Server) Set(dn, attribute string, values ...string) {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(dn, []ldap.Control{ldap.NewControlString(relaxRules, true, "")})
		r.Replace(attribute, values)
		return c.Modify(r)
	})
}

// relaxRules lets an administrator write what a server writes itself.
const relaxRules = "1.3.6.1.4.1.4203.666.5.12"

// Join adds a member to a group, Leave removes one.
func (s *Server) Join(group, member string) {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(group, nil)
		r.Add("member", []string{member})
		return c.Modify(r)
	})
}

// Leave removes a member from a group.
func (s *Server) Leave(group, member string) {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(group, nil)
		r.Delete("member", []string{member})
		return c.Modify(r)
	})
}

// Section is the part of orbitd's configuration that authenticates against s, with
// further keys as lines of their own. The file password has ServicePassword.
func (s *Server) Section(password string, keys ...string) string {
	return fmt.Sprintf(`[[auth]]
type = "ldap"
urls = [%q]
ca = %q
bind_dn = %q
bind_password = "file:%s"
user_base = %q
group_base = %q
%s
`, s.Plain, s.CA, Service, password, People, Groups, strings.Join(keys, "\n"))
}

// Binds returns how often somebody has tried to bind as dn by now.
func (s *Server) Binds(dn string) int {
	s.t.Helper()
	return s.Logged(`BIND dn="` + regexp.QuoteMeta(dn) + `" method=128`)
}

// Logged returns how often a regular expression, in whatever case, is found in what
// the server has logged by now: connections, binds and searches.
func (s *Server) Logged(pattern string) int {
	s.t.Helper()
	log, err := os.ReadFile(s.Log)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(regexp.MustCompile("(?i)"+pattern).FindAllIndex(log, -1))
}

type entry struct {
	dn         string
	attributes []string
}

func (s *Server) load(entries []entry) {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error {
		for _, e := range entries {
			r := ldap.NewAddRequest(e.dn, nil)
			var order []string
			values := map[string][]string{}
			for _, a := range e.attributes {
				name, value, _ := strings.Cut(a, ": ")
				if !slices.Contains(order, name) {
					order = append(order, name)
				}
				values[name] = append(values[name], value)
			}
			for _, name := range order {
				r.Attribute(name, values[name])
			}
			if slices.Contains(values["objectClass"], "referral") {
				r.Controls = append(r.Controls, ldap.NewControlManageDsaIT(true))
			}
			if err := c.Add(r); err != nil {
				return fmt.Errorf("add %s: %w", e.dn, err)
			}
		}
		return nil
	})
}

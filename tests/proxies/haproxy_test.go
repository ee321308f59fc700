package proxies

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

const haproxy = "/usr/sbin/haproxy"

// newHAProxy takes the section defaults of Debian's haproxy.cfg, with the sites
// behind it.
func (s *street) newHAProxy(t *testing.T) *proxy {
	t.Helper()
	dir := folder(t)
	both := write(t, dir, "both.pem", read(t, s.daemon.File("cert.pem"))+read(t, s.daemon.File("key.pem")))

	whole := s.add(t, site{name: "haproxy as etc/proxies has it", tls: true, upgrades: true})
	plain := s.add(t, site{name: "haproxy by default", upgrades: true})
	secured := s.add(t, site{name: "haproxy by default, with TLS", tls: true, upgrades: true})
	refusing := s.add(t, site{name: "haproxy that refuses upgrades"})
	_, defaults, ok := strings.Cut(read(t, "/etc/haproxy/haproxy.cfg"), "\ndefaults\n")
	if !ok {
		t.Fatal("haproxy.cfg has no section defaults")
	}
	path := write(t, dir, "haproxy.cfg", "global\n\tlog stdout format raw local0\ndefaults\n"+defaults+
		recipe(t, "haproxy.conf", ":443", whole, "/etc/haproxy/push.example.org.pem", both, "127.0.0.1:8080", s.daemon.Address)+
		fmt.Sprintf(`
frontend plain
	bind %s
	default_backend straight
frontend secured
	bind %s ssl crt %s alpn h2,http/1.1
	default_backend straight
frontend refusing
	bind %s
	http-request deny if { req.hdr(Upgrade) -m found }
	default_backend straight
backend straight
	server orbitd %s
`, plain, secured, both, refusing, s.daemon.Address))
	return newProxy(t, []string{haproxy, "-W", "-db", "-f", path}, syscall.SIGUSR2, whole, plain, secured, refusing)
}

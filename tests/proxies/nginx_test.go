package proxies

import (
	"fmt"
	"syscall"
	"testing"
)

const nginx = "/usr/sbin/nginx"

// newNginx takes Debian's nginx.conf, with the sites in its folder conf.d.
func (s *street) newNginx(t *testing.T) *proxy {
	t.Helper()
	dir := folder(t)
	certificate, key := s.daemon.File("cert.pem"), s.daemon.File("key.pem")

	whole := s.add(t, site{name: "nginx as etc/proxies has it", tls: true, upgrades: true})
	write(t, dir, "conf.d/recipe.conf", recipe(t, "nginx.conf",
		"443 ssl", whole+" ssl", "127.0.0.1:8080", s.daemon.Address,
		"/etc/ssl/certs/push.example.org.pem", certificate, "/etc/ssl/private/push.example.org.key", key))

	// proxy_pass alone speaks HTTP/1.0 to orbitd, and drops Upgrade.
	plain := s.add(t, site{name: "nginx by default"})
	secured := s.add(t, site{name: "nginx by default, with TLS", tls: true})
	holding := s.add(t, site{name: "nginx that buffers", buffers: true})
	write(t, dir, "conf.d/default.conf", fmt.Sprintf(`
server { listen %s; location / { proxy_pass http://%[2]s; } }
server { listen %[3]s ssl http2; ssl_certificate %[4]s; ssl_certificate_key %[5]s; location / { proxy_pass http://%[2]s; } }
server { listen %[6]s; location / { proxy_pass http://%[2]s; proxy_ignore_headers X-Accel-Buffering; } }
`, plain, s.daemon.Address, secured, certificate, key, holding))

	temporary := ""
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("%s_temp_path %s/%[1]s;\n", what, dir)
	}
	write(t, dir, "conf.d/folders.conf", temporary)
	path := write(t, dir, "nginx.conf", "daemon off;\n"+replaced(t, read(t, "/etc/nginx/nginx.conf"),
		"/run/nginx.pid", dir+"/pid", "/var/log/nginx/error.log", dir+"/log", "/var/log/nginx/access.log", dir+"/access",
		"/etc/nginx/conf.d/", dir+"/conf.d/", "/etc/nginx/sites-enabled/", dir+"/none/"))
	return newProxy(t, []string{nginx, "-p", dir, "-e", dir + "/log", "-c", path}, syscall.SIGHUP, whole, plain, secured, holding)
}

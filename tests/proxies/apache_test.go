package proxies

import (
	"strings"
	"syscall"
	"testing"
)

const apache = "/usr/sbin/apache2"

// What Debian's apache2.conf says, and the modules that it enables, as far as they
// have a part in this. The package that has it is not installed: it is the one that
// starts a server.
const apacheDefaults = `
Timeout 300
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
HostnameLookups Off
LogLevel warn
StartServers 2
MinSpareThreads 25
MaxSpareThreads 75
ThreadLimit 64
ThreadsPerChild 25
MaxRequestWorkers 150
MaxConnectionsPerChild 0
AddOutputFilterByType DEFLATE text/html text/plain text/xml text/css application/javascript application/json
RequestReadTimeout header=20-40,minrate=500 body=10,minrate=500
`

var apacheModules = []string{
	"mpm_event", "authz_core", "deflate", "filter", "reqtimeout", // by default
	"headers", "http2", "proxy", "proxy_http", "socache_shmcb", "ssl", // as the recipe has it
}

func (s *street) newApache(t *testing.T) *proxy {
	t.Helper()
	dir := folder(t)
	whole := s.add(t, site{name: "Apache httpd as etc/proxies has it", tls: true, upgrades: true})
	var b strings.Builder
	for _, module := range apacheModules {
		b.WriteString("LoadModule " + module + "_module /usr/lib/apache2/modules/mod_" + module + ".so\n")
	}
	b.WriteString(apacheDefaults)
	b.WriteString("ServerRoot " + dir + "\nPidFile pid\nErrorLog log\nListen " + whole + "\nDefaultRuntimeDir " + dir + "\n")
	b.WriteString("SSLSessionCache none\nUser www-data\nGroup www-data\nServerName localhost\n")
	b.WriteString(recipe(t, "apache.conf", "*:443", whole, "127.0.0.1:8080", s.daemon.Address,
		"/etc/ssl/certs/push.example.org.pem", s.daemon.File("cert.pem"), "/etc/ssl/private/push.example.org.key", s.daemon.File("key.pem")))
	path := write(t, dir, "apache2.conf", b.String())
	return newProxy(t, []string{apache, "-D", "FOREGROUND", "-f", path}, syscall.SIGUSR1, whole)
}

package httpserver_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/orbitd/orbitd/pkg/httpserver"
)

// TestProxies: a header counts as far as trusted proxies vouch for it.
func TestProxies(t *testing.T) {
	p := httpserver.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		peer, listed, standard, want string
	}{
		{"192.0.2.1", "", "", "192.0.2.1"},
		{"192.0.2.1", "198.51.100.7", "for=198.51.100.7", "192.0.2.1"}, // not a proxy
		{"10.0.0.1", "", "", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.7", "", "198.51.100.7"},
		{"::ffff:10.0.0.1", "198.51.100.7", "", "198.51.100.7"},
		{"10.0.0.1", "1.1.1.1, 198.51.100.7", "", "198.51.100.7"}, // the first is the client's own word
		{"10.0.0.1", "1.1.1.1, 198.51.100.7, 10.9.9.9", "", "198.51.100.7"},
		{"10.0.0.1", "10.1.1.1, 10.9.9.9", "", "10.1.1.1"},
		{"10.0.0.1", "1.1.1.1, nonsense", "", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.7:4711", "", "198.51.100.7"},
		{"10.0.0.1", "[2001:db9::1]:4711", "", "2001:db9::1"},
		{"10.0.0.1", "::ffff:198.51.100.7", "", "198.51.100.7"},
		{"10.0.0.1", "fe80::1%eth0", "", "fe80::1"},
		{"10.0.0.1", "", "for=198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", "", `for=1.1.1.1, For="[2001:db9::1]:80";proto=https;by=10.0.0.1`, "2001:db9::1"},
		{"10.0.0.1", "", "for=unknown", "10.0.0.1"},
		{"10.0.0.1", "", "for=_hidden, proto=http", "10.0.0.1"},
		{"10.0.0.1", "", `for="1.1.1.1,8.8.8.8"`, "10.0.0.1"},
		{"10.0.0.1", "198.51.100.7", "for=198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", "198.51.100.7", "for=1.1.1.1", "10.0.0.1"}, // one is forged: which?
		{"2001:db8::5", "198.51.100.7", "", "198.51.100.7"},
		{"", "198.51.100.7", "", "invalid IP"}, // a Unix socket
	} {
		peer, _ := netip.ParseAddr(c.peer)
		h := http.Header{}
		if c.listed != "" {
			h.Set("X-Forwarded-For", c.listed)
		}
		if c.standard != "" {
			h.Set("Forwarded", c.standard)
		}
		if got := p.Client(peer, h).String(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	two := http.Header{"X-Forwarded-For": {"1.1.1.1", "198.51.100.7"}}
	if got := p.Client(netip.MustParseAddr("10.0.0.1"), two).String(); got != "198.51.100.7" {
		t.Errorf("of two lines: %s", got)
	}
}

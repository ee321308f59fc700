package origin_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/origin"
)

var trusting = origin.Rules{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}

// A header counts as far as trusted proxies vouch for it.
func TestClientBehindProxies(t *testing.T) {
	t.Parallel()
	g := origin.NewGate(trusting)
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
		{"10.0.0.1", "10.8.8.8, 198.51.100.7, 10.9.9.9", "", "198.51.100.7"}, // also if it names a proxy
		{"10.0.0.1", "10.1.1.1, 10.9.9.9", "", "10.1.1.1"},
		{"10.0.0.1", "1.1.1.1, nonsense", "", "10.0.0.1"},
		{"10.0.0.1", "1.1.1.1,", "", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.7:4711", "", "198.51.100.7"},
		{"10.0.0.1", "[2001:db9::1]:4711", "", "2001:db9::1"},
		{"10.0.0.1", "2001:db9::1", "", "2001:db9::1"},
		{"10.0.0.1", "::ffff:198.51.100.7", "", "198.51.100.7"},
		{"10.0.0.1", "fe80::1%eth0", "", "fe80::1"},
		{"10.0.0.1", "", "for=198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", "", `for=1.1.1.1, For="[2001:db9::1]:80";proto=https;by=10.0.0.1`, "2001:db9::1"},
		{"10.0.0.1", "", `for="[2001:db9::1]"`, "2001:db9::1"},
		{"10.0.0.1", "", `for="198.51.100.7:80" , for="[2001:db8::9]:80"`, "198.51.100.7"},
		{"10.0.0.1", "", "for=unknown", "10.0.0.1"},
		{"10.0.0.1", "", "for=_hidden, proto=http", "10.0.0.1"},
		{"10.0.0.1", "", `for="1.1.1.1,8.8.8.8"`, "10.0.0.1"},
		{"10.0.0.1", "", `for="1.1.1.1`, "10.0.0.1"},
		{"10.0.0.1", "", `"`, "10.0.0.1"},
		{"10.0.0.1", "", `for=198.51.100.7;host="x, for=1.1.1.1"`, "198.51.100.7"}, // the Host is the client's word
		{"10.0.0.1", "", `for=198.51.100.7;host="x\", for=1.1.1.1"`, "198.51.100.7"},
		{"10.0.0.1", "", `for=198.51.100.7;host="x;for=1.1.1.1"`, "198.51.100.7"},
		{"10.0.0.1", "198.51.100.7", "for=198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", "198.51.100.7", "for=1.1.1.1", "10.0.0.1"}, // one is forged: which?
		{"2001:db8::5", "198.51.100.7", "", "198.51.100.7"},
		{"", "198.51.100.7", "", "invalid IP"}, // a Unix socket
	} {
		peer, _ := netip.ParseAddr(c.peer)
		h := http.Header{}
		set(h, "X-Forwarded-For", c.listed)
		set(h, "Forwarded", c.standard)
		if got := g.Source(peer, false, h).Client.String(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	two := http.Header{"X-Forwarded-For": {"1.1.1.1", "198.51.100.7"}}
	if got := g.Source(netip.MustParseAddr("10.0.0.1"), false, two).Client.String(); got != "198.51.100.7" {
		t.Errorf("of two lines: %s", got)
	}
}

// Whether the client's own connection has TLS is what the last trusted proxy says
// of it, else what this server sees.
func TestTLSBehindProxies(t *testing.T) {
	t.Parallel()
	g := origin.NewGate(trusting)
	for _, c := range []struct {
		peer, headers   string
		plainly, secure bool // as this server's connection is
	}{
		{"10.0.0.1", "", false, true},
		{"192.0.2.1", "X-Forwarded-Proto: https", false, true}, // not a proxy
		{"192.0.2.1", "X-Forwarded-Proto: http", false, true},
		{"10.0.0.1", "X-Forwarded-Proto: https", true, true},
		{"10.0.0.1", "X-Forwarded-Proto: http", false, false},
		{"10.0.0.1", "X-Forwarded-Proto: WSS", true, true},
		{"10.0.0.1", "X-Forwarded-Proto: nonsense", false, true},
		{"10.0.0.1", "X-Forwarded-For: 198.51.100.7\nX-Forwarded-Proto: https", true, true},
		{"10.0.0.1", "X-Forwarded-For: 198.51.100.7\nX-Forwarded-Proto: http, https", true, true}, // the first is the client's
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1, 198.51.100.7\nX-Forwarded-Proto: https, http", false, false},
		{"10.0.0.1", "X-Forwarded-For: 198.51.100.7, 10.9.9.9\nX-Forwarded-Proto: https, http", true, true},
		{"10.0.0.1", "X-Forwarded-For: 198.51.100.7, 10.9.9.9\nX-Forwarded-Proto: https", true, true},
		{"10.0.0.1", "Forwarded: for=198.51.100.7;proto=https", true, true},
		{"10.0.0.1", "Forwarded: for=1.1.1.1;proto=https, for=198.51.100.7;proto=http", false, false},
		{"10.0.0.1", "Forwarded: for=198.51.100.7;proto=https, for=10.9.9.9;proto=http", true, true},
		{"10.0.0.1", `Forwarded: for="[2001:db9::1]";proto="https"`, true, true},
		{"10.0.0.1", "Forwarded: proto=https;by=_x", true, true},
		{"10.0.0.1", "X-Forwarded-For: 198.51.100.7\nX-Forwarded-Proto: http\nForwarded: for=198.51.100.7;proto=https", true, true},
	} {
		h := http.Header{}
		for line := range strings.SplitSeq(c.headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			set(h, name, value)
		}
		peer := netip.MustParseAddr(c.peer)
		if got := g.Source(peer, false, h).Secure; got != c.plainly {
			t.Errorf("%+v without TLS: %v", c, got)
		}
		if got := g.Source(peer, true, h).Secure; got != c.secure {
			t.Errorf("%+v with TLS: %v", c, got)
		}
	}
}

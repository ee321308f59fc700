package origin_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
)

// A server that knows its names is called by these, by its address or as
// localhost: anything else may come from a page whose name was made to resolve
// to its address.
func TestHosts(t *testing.T) {
	t.Parallel()
	named, open := origin.NewGate(origin.Rules{Hosts: []string{"push.example.org"}}), origin.NewGate(origin.Rules{})
	for host, want := range map[string]bool{
		"push.example.org":      true,
		"PUSH.example.org":      true,
		"push.example.org:8080": true,
		"push.example.org.":     true,
		"localhost:8080":        true,
		"127.0.0.1:8080":        true,
		"[::1]:8080":            true,
		"[::1]":                 true,
		"example.org":           false,
		"evil.test:8080":        false,
		"push.example.org.evil": false,
		"127.0.0.1.evil.test":   false,
		"localhost.evil.test":   false,
	} {
		if got := named.HostAllowed(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
		if !open.HostAllowed(host) {
			t.Errorf("%q is refused though nothing is said", host)
		}
	}
}

// The server's own pages may call, but for those that came without TLS to a server
// that is reached with it.
func TestSameOrigin(t *testing.T) {
	t.Parallel()
	g := origin.NewGate(origin.Rules{Origins: []string{"http://old.example"}})
	for _, c := range []struct {
		origin, host    string
		plainly, secure bool
	}{
		{"http://push.example", "push.example", true, false},
		{"https://push.example", "push.example", true, true},
		{"https://push.example", "push.example:443", true, true},
		{"http://push.example", "push.example:80", true, false},
		{"https://push.example", "push.example:80", false, false},
		{"http://push.example:8080", "push.example:8080", true, false},
		{"https://push.example", "push.EXAMPLE", true, true},
		{"https://PUSH.example", "push.example", false, false}, // no browser writes it so
		{"https://push.example", "other.example", false, false},
		{"ws://push.example", "push.example", false, false},
		{"null", "push.example", false, false},
		{"https://", "", false, false},
		{"http://old.example", "push.example", true, true}, // by the operator's word
		{"https://old.example", "push.example", false, false},
	} {
		if got := g.Allowed(c.origin, c.host, false); got != c.plainly {
			t.Errorf("%s at %s without TLS: %v", c.origin, c.host, got)
		}
		if got := g.Allowed(c.origin, c.host, true); got != c.secure {
			t.Errorf("%s at %s with TLS: %v", c.origin, c.host, got)
		}
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	g := origin.NewGate(origin.Rules{Origins: []string{"https://good.example"}, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	to := origin.Resource{Methods: []string{"GET", "POST"}, Headers: "Content-Type"}
	for _, c := range []struct {
		name, method, origin, peer, proto string
		tls                               bool
		serve, refused                    bool
	}{
		{"no page", "GET", "", "192.0.2.1:1", "", false, true, false},
		{"asks, but is no page", "OPTIONS", "", "192.0.2.1:1", "", false, true, false},
		{"an allowed page", "POST", "https://good.example", "192.0.2.1:1", "", false, true, false},
		{"it asks beforehand", "OPTIONS", "https://good.example", "192.0.2.1:1", "", false, false, false},
		{"a foreign page", "POST", "https://evil.example", "192.0.2.1:1", "", false, false, true},
		{"it asks beforehand, too", "OPTIONS", "https://evil.example", "192.0.2.1:1", "", false, false, true},
		{"own page", "POST", "http://push.example", "192.0.2.1:1", "", false, true, false},
		{"own page without TLS", "POST", "http://push.example", "192.0.2.1:1", "", true, false, true},
		{"the same behind a proxy", "POST", "http://push.example", "10.0.0.1:1", "https", false, false, true},
		{"nobody's word", "POST", "http://push.example", "192.0.2.1:1", "https", false, true, false},
		{"own page behind a proxy", "POST", "https://push.example", "10.0.0.1:1", "https", false, true, false},
		{"behind one with TLS to us", "POST", "http://push.example", "10.0.0.1:1", "http", true, true, false},
		{"on a Unix socket", "POST", "http://push.example", "@", "https", false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), c.method, "http://push.example/v1/poll", nil)
			r.RemoteAddr, r.TLS = c.peer, nil
			if c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			set(r.Header, "Origin", c.origin)
			set(r.Header, "X-Forwarded-Proto", c.proto)
			w := httptest.NewRecorder()
			serve, err := g.Admit(w, r, to)
			if serve != c.serve || (err != nil) != c.refused || err != nil && message.CodeOf(err) != message.Forbidden {
				t.Errorf("%v, %v", serve, err)
			}
			h := w.Header()
			want := c.origin
			if c.refused {
				want = ""
			}
			if got := h.Get("Access-Control-Allow-Origin"); got != want || (h.Get("Access-Control-Allow-Credentials") == "true") != (want != "") {
				t.Errorf("allows %q", got)
			}
			if h.Get("Cache-Control") != "no-store, no-transform" || h.Get("X-Accel-Buffering") != "no" || h.Get("Vary") != "Origin" {
				t.Errorf("%v", h)
			}
			if asked := !serve && err == nil; asked != (h.Get("Access-Control-Allow-Methods") == "GET, POST") || asked != (w.Code == http.StatusNoContent) {
				t.Errorf("%d %v", w.Code, h)
			}
		})
	}
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

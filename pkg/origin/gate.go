package origin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/orbitd/orbitd/pkg/message"
)

// Rules are what an operator says of where requests may come from.
type Rules struct {
	Hosts   []string       // names by which the server may be called, in lower case; none: any
	Origins []string       // of pages that may call, beside the server's own
	Proxies []netip.Prefix // networks of reverse proxies, whose word on clients counts
}

// A Gate applies rules. It may be used concurrently.
type Gate struct{ rules atomic.Pointer[Rules] }

// NewGate returns a gate with its first rules.
func NewGate(r Rules) *Gate {
	g := &Gate{}
	g.Set(r)
	return g
}

// Set replaces the rules, all at once.
func (g *Gate) Set(r Rules) {
	r.Hosts, r.Origins, r.Proxies = slices.Clone(r.Hosts), slices.Clone(r.Origins), slices.Clone(r.Proxies)
	g.rules.Store(&r)
}

// HostAllowed reports whether a request may call this server by host, the value
// of Host, with or without a port. A site whose name was made to resolve to this
// server's address, so that its pages are of the server's own origin (DNS
// rebinding), calls by that name; never by an address or as localhost.
func (g *Gate) HostAllowed(host string) bool {
	hosts := g.rules.Load().Hosts
	if len(hosts) == 0 {
		return true
	}
	u := url.URL{Host: strings.ToLower(host)}
	name := strings.TrimSuffix(u.Hostname(), ".")
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	return slices.Contains(hosts, name)
}

// Allowed reports whether a page of that origin may call a server that it reached
// as host, and securely if the client's connection has TLS. Origins are compared as
// browsers serialize them (RFC 6454, section 6.2); anything that is not exactly
// allowed is refused.
//
// A page that came without TLS is not of the same origin as a server that is reached
// with it: whoever is in the network could have written it. The other way round
// nothing is at stake, and it is the common case: a proxy that has taken the TLS off
// and does not say so.
func (g *Gate) Allowed(origin, host string, secure bool) bool {
	return slices.Contains(g.rules.Load().Origins, origin) || isOwn(origin, host, secure)
}

// Page returns the origin of a page that may call, for who judges what it may use:
// none, where there is no page or it is one of the server's own.
func (g *Gate) Page(origin, host string, secure bool) string {
	if origin == "" || isOwn(origin, host, secure) {
		return ""
	}
	return origin
}

// PageOf is Page for a request.
func (g *Gate) PageOf(r *http.Request) string {
	return g.Page(r.Header.Get("Origin"), r.Host, g.SourceOf(r).Secure)
}

// isOwn reports whether an origin is that of the server itself.
func isOwn(origin, host string, secure bool) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && !secure) &&
		u.Scheme+"://"+u.Host == strings.ToLower(origin) && sameHost(u, host)
}

// sameHost compares an origin's host with that of a request, in which the
// default port may stand or not.
func sameHost(u *url.URL, host string) bool {
	host = strings.ToLower(host)
	if u.Host == host {
		return true
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return u.Port() == "" && net.JoinHostPort(u.Hostname(), port) == host
}

// A Resource is what a page of another origin has to be told of what it calls.
type Resource struct {
	Methods []string
	Headers string // that a request may have, as Access-Control-Allow-Headers lists them
}

// Admit writes the headers that all answers have in common: they are for nobody
// else, no proxy holds them back, and a page that may call may also read them (CORS,
// with credentials). It answers a browser that asks beforehand, and then, as with an
// error, which the caller is to answer, the request is not to be served. It comes
// before anything is done, whatever a request brings to identify itself.
func (g *Gate) Admit(w http.ResponseWriter, r *http.Request, to Resource) (serve bool, err error) {
	h := w.Header()
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true, nil
	}
	if !g.Allowed(origin, r.Host, g.SourceOf(r).Secure) {
		return false, message.Errorf(message.Forbidden, "this page's origin may not call; add it to server.origins")
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method != http.MethodOptions {
		return true, nil
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(to.Methods, ", "))
	h.Set("Access-Control-Allow-Headers", to.Headers)
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return false, nil
}

package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// DefaultControl is where the control socket is where nothing is said.
const DefaultControl = "/run/orbitd/control.sock"

// The addresses that are listened on where nothing is said, and the longest
// path that a Unix socket can have.
const (
	defaultHTTP   = "127.0.0.1:8080"
	defaultOps    = "127.0.0.1:8090"
	maxSocketPath = 107
)

func readServer(t *table) Server {
	s := Server{
		HTTP:           t.address("http", defaultHTTP),
		HTTPS:          t.address("https", ""),
		STOMP:          t.address("stomp", ""),
		STOMPS:         t.address("stomps", ""),
		Ops:            t.address("ops", defaultOps),
		Control:        t.doc.absolute(t.text("control", DefaultControl, DefaultControl)),
		TrustedProxies: t.prefixes("trusted_proxies"),
		Compression:    t.sizeOrOff("compression", kib, 64, maxMessage),
	}
	s.Hosts = t.hosts("hosts")
	s.Origins, _ = t.origins("origins")
	if len(s.Control) > maxSocketPath {
		t.fail("control", fmt.Sprintf("write a path of at most %d bytes", maxSocketPath), "the path of a socket cannot have %d bytes", len(s.Control))
	}
	t.sameAddress([]string{"http", "https", "stomp", "stomps", "ops"}, []string{s.HTTP, s.HTTPS, s.STOMP, s.STOMPS, s.Ops})
	t.done()
	return s
}

// sameAddress reports listeners that would take each other's address.
func (t *table) sameAddress(keys, addresses []string) {
	for i, a := range addresses {
		first := slices.IndexFunc(addresses, func(b string) bool { return clash(a, b) })
		if first >= 0 && first < i {
			t.fail(keys[i], "give each an address of its own", "%s is taken by %s", a, keys[first])
		}
	}
}

// clash reports whether two addresses have the same port of the same interface;
// port 0 is any that is free.
func clash(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	if portA != portB || portA == "" || portA == "0" {
		return false
	}
	ipA, ipB := interfaceOf(hostA), interfaceOf(hostB)
	return covers(ipA, ipB) || covers(ipB, ipA)
}

// covers reports whether to listen on a is to listen on b, too.
func covers(a, b netip.Addr) bool {
	return a == b || a == netip.IPv6Unspecified() || a == netip.IPv4Unspecified() && b.Is4()
}

// interfaceOf returns the address that a host means. None is all, and so is the
// unspecified one of IPv6 (Linux takes both families there).
func interfaceOf(host string) netip.Addr {
	switch host {
	case "":
		return netip.IPv6Unspecified()
	case "localhost":
		host = "127.0.0.1"
	}
	ip, _ := netip.ParseAddr(host) // has been checked
	return ip.Unmap()
}

// address reads host:port; empty is none.
func (t *table) address(key, fallback string) string {
	s := t.text(key, fallback, "127.0.0.1:8080")
	if s == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		t.fail(key, `write HOST:PORT, such as "127.0.0.1:8080", or ":8080" for all addresses`, "%q is not an address", s)
		return fallback
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		t.fail(key, "write a number from 0 to 65535 behind the colon", "%q is not a port", port)
		return fallback
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		t.fail(key, "write the IP address of one of this host's interfaces", "%q is not an IP address", host)
		return fallback
	}
	return s
}

// hosts reads a list of host names.
func (t *table) hosts(key string) (hosts []string) {
	const example = "push.example.org"
	list, _ := t.texts(key, example)
	for _, e := range list {
		u, err := url.Parse("//" + e.text)
		if err != nil || e.text == "" || u.Hostname() != e.text || strings.ToLower(e.text) != e.text || strings.ContainsAny(e.text, "*:") {
			t.failAt(e.line, key, fmt.Sprintf("write a name alone, in lower case, such as %q", example), "%q is not a host name", e.text)
			continue
		}
		hosts = append(hosts, e.text)
	}
	return hosts
}

// origins reads a list of web origins; ok is false if there is none.
func (t *table) origins(key string) (origins []string, ok bool) {
	const example = "https://www.example.org"
	list, ok := t.texts(key, example)
	for _, e := range list {
		if e.text == "*" {
			t.failAt(e.line, key, "list each site whose pages may connect", `"*" would let every web site act as its visitors`)
			continue
		}
		origin, err := parseOrigin(e.text)
		if err != nil {
			t.failAt(e.line, key, fmt.Sprintf("write scheme and host as the browser sends them, such as %q", example), "%q is not an origin: %v", e.text, err)
			continue
		}
		origins = append(origins, origin)
	}
	return origins, ok
}

// parseOrigin checks that s is exactly what a browser sends in Origin (RFC 6454
// section 6.2): lower case, no path, and no port where it is the scheme's own.
func parseOrigin(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("it is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("it does not begin with https:// or http://")
	case u.Hostname() == "":
		return "", fmt.Errorf("it has no host")
	case u.Scheme+"://"+u.Host != s:
		return "", fmt.Errorf("there is something besides scheme, host and port")
	case strings.ToLower(s) != s:
		return "", fmt.Errorf("it has upper-case letters")
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80", strings.HasSuffix(s, ":"):
		return "", fmt.Errorf("browsers leave out the scheme's own port")
	}
	return s, nil
}

// prefixes reads a list of networks, or single addresses.
func (t *table) prefixes(key string) []netip.Prefix {
	list, _ := t.texts(key, "10.0.0.0/8")
	var prefixes []netip.Prefix
	for _, e := range list {
		prefix, err := parsePrefix(e.text)
		switch {
		case err != nil:
			t.failAt(e.line, key, `write a network or an address, such as "10.0.0.0/8" or "192.0.2.1"`, "%q is neither", e.text)
		case prefix.Masked() != prefix:
			t.failAt(e.line, key, fmt.Sprintf("write %q", prefix.Masked()), "%q has bits beyond its length", e.text)
		default:
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Prefix(addr.BitLen())
}

package origin

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// A Source is who has made a request, as far as this server and the proxies it
// trusts know.
type Source struct {
	Client netip.Addr // none on a Unix socket
	Secure bool       // the client's own connection has TLS
}

// SourceOf returns the source of a request.
func (g *Gate) SourceOf(r *http.Request) Source {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // a Unix socket has none
	return g.Source(peer.Addr(), r.TLS != nil, r.Header)
}

// Source returns the source of a request that came on a connection of peer: that
// itself, or what peer says if it is one of the proxies, and so on from proxy to
// proxy (Forwarded of RFC 7239, or X-Forwarded-For and X-Forwarded-Proto). What
// stands to the left of the last proxy's word is the client's own and counts for
// nothing.
//
// Proxies write one of the two headers and pass the other on as it came. So where
// both are there and do not name the same client, one of them is the client's, and
// neither is taken. TLS is believed if either tells of it, since to have it gains
// a client nothing.
func (g *Gate) Source(peer netip.Addr, secure bool, h http.Header) Source {
	proxies := g.rules.Load().Proxies
	direct := Source{peer.Unmap(), secure}
	if !trusts(proxies, direct.Client) {
		return direct
	}
	old, standard := listed(h), forwarded(h["Forwarded"])
	switch {
	case len(standard) == 0:
		return follow(proxies, direct, old)
	case len(old) == 0:
		return follow(proxies, direct, standard)
	}
	a, b := follow(proxies, direct, old), follow(proxies, direct, standard)
	if a.Client != b.Client {
		a.Client = direct.Client
	}
	a.Secure = a.Secure || b.Secure
	return a
}

func trusts(proxies []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(network netip.Prefix) bool { return network.Contains(a) })
}

// A hop is what a proxy says of the connection that a request came to it by. What
// it does not say is empty.
type hop struct{ node, proto string }

// follow goes through the hops from the last one for as long as who has told of it
// is trusted.
func follow(proxies []netip.Prefix, s Source, hops []hop) Source {
	for _, h := range slices.Backward(hops) {
		switch strings.ToLower(h.proto) {
		case "https", "wss":
			s.Secure = true
		case "http", "ws":
			s.Secure = false
		}
		a, ok := parseNode(h.node)
		if !ok {
			break // the proxy does not tell, or has been told nonsense
		}
		if s.Client = a; !trusts(proxies, a) {
			break
		}
	}
	return s
}

// listed returns what X-Forwarded-For and X-Forwarded-Proto say. A proxy adds to
// the first and mostly replaces the second, so a shorter list of protocols stands
// for the last hops, and its first item for those before.
func listed(h http.Header) (hops []hop) {
	nodes, protos := items(h["X-Forwarded-For"]), items(h["X-Forwarded-Proto"])
	if len(protos) > 0 && len(nodes) == 0 {
		nodes = []string{""}
	}
	for i, node := range nodes {
		next := hop{node: node}
		if len(protos) > 0 {
			next.proto = protos[max(0, len(protos)-len(nodes)+i)]
		}
		hops = append(hops, next)
	}
	return hops
}

// items returns the items of a list in a header's lines.
func items(lines []string) (all []string) {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(item))
		}
	}
	return all
}

// forwarded returns what the elements of Forwarded say (RFC 7239, section 4).
func forwarded(lines []string) (hops []hop) {
	for _, line := range lines {
		for _, element := range splitOutsideQuotes(line, ',') {
			var h hop
			for _, pair := range splitOutsideQuotes(element, ';') {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				switch strings.ToLower(name) {
				case "for":
					h.node = unquote(value)
				case "proto":
					h.proto = unquote(value)
				}
			}
			hops = append(hops, h)
		}
	}
	return hops
}

// splitOutsideQuotes parts a text at a separator, but not within a quoted string
// (RFC 9110, section 5.6.4), in which a proxy may repeat what a client has written.
func splitOutsideQuotes(text string, separator byte) (parts []string) {
	quoted, start := false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

// unquote takes off a value's quotes. What has escapes, or no second quote, is no
// address and no protocol, and stays as it is.
func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// parseNode reads an address with or without a port (RFC 7239, section 6).
func parseNode(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

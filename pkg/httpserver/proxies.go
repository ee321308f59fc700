package httpserver

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of reverse proxies whose word counts for who a client
// is.
type Proxies []netip.Prefix

// Client returns the address of who has made a request: the peer's, or what the
// peer says if it is one of the proxies, and so on from proxy to proxy
// (X-Forwarded-For, or Forwarded of RFC 7239). What stands to the left of the last
// proxy's word is the client's own and counts for nothing.
//
// Proxies write one of the two headers and pass the other on as it came. So where
// both are there and do not say the same, one of them is the client's, and neither
// is taken.
func (p Proxies) Client(peer netip.Addr, h http.Header) netip.Addr {
	peer = peer.Unmap()
	if !p.trusts(peer) {
		return peer
	}
	listed, standard := items(h["X-Forwarded-For"]), forwarded(h["Forwarded"])
	switch {
	case len(standard) == 0:
		return p.last(peer, listed)
	case len(listed) == 0:
		return p.last(peer, standard)
	}
	if client := p.last(peer, listed); client == p.last(peer, standard) {
		return client
	}
	return peer
}

// Peer returns the address of the other end of a request's connection; none on a
// Unix socket.
func Peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

func (p Proxies) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(a) })
}

// last follows a list from its end for as long as who has written an item is
// trusted.
func (p Proxies) last(peer netip.Addr, list []string) netip.Addr {
	for _, text := range slices.Backward(list) {
		a, ok := parseNode(text)
		if !ok {
			break // the proxy does not tell, or has been told nonsense
		}
		if peer = a; !p.trusts(peer) {
			break
		}
	}
	return peer
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

// forwarded returns what each element of Forwarded says of whom it came from:
// nothing, if it does not say that. A quoted comma would part an element: then the
// parts say nothing that is an address.
func forwarded(lines []string) (all []string) {
	for _, element := range items(lines) {
		node := ""
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(name, "for") {
				node = strings.Trim(value, `"`)
			}
		}
		all = append(all, node)
	}
	return all
}

// parseNode reads an address with or without a port (RFC 7239, section 6).
func parseNode(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

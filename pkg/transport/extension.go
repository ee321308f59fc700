package transport

import (
	"strconv"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
)

// The one extension of WebSockets that there is here, and its parameters (RFC
// 7692, section 7.1).
const (
	perMessageDeflate       = "permessage-deflate"
	serverNoContextTakeover = "server_no_context_takeover"
	clientNoContextTakeover = "client_no_context_takeover"
	serverMaxWindowBits     = "server_max_window_bits"
	clientMaxWindowBits     = "client_max_window_bits"
)

// extension notes the answer to the first offer that can be accepted: the client
// lists those first that it likes best. It asks for no context takeover in either
// direction, which it may whether it was offered or not: nobody keeps a window.
// That the offer is answered is decided when the subprotocol is known.
func (h *handshake) extension(offer httphead.Option) (none httphead.Option, err error) {
	if h.extensions != "" || h.server.deflated == nil || !acceptable(offer) {
		return none, nil
	}
	h.extensions = perMessageDeflate + "; " + serverNoContextTakeover + "; " + clientNoContextTakeover
	if _, ok := offer.Parameters.Get(serverMaxWindowBits); ok {
		h.extensions += "; " + serverMaxWindowBits + "=" + maxWindowBits
	}
	return none, nil
}

// extensionHeader is the answer to all offers. Other protocols than orbit.v1 have
// none.
func (h *handshake) extensionHeader() ws.HandshakeHeader {
	if h.extensions == "" || h.server.others[h.agreed] != nil {
		return nil
	}
	return ws.HandshakeHeaderString("Sec-WebSocket-Extensions: " + h.extensions + "\r\n")
}

// acceptable reports whether an offer is one of permessage-deflate that this
// server can do. One with a parameter that is not known, is there twice or has a
// value that it cannot have is declined (RFC 7692, section 7.1.3), and so is one
// that wants a window of the server's messages smaller than theirs is.
func acceptable(offer httphead.Option) bool {
	ok := string(offer.Name) == perMessageDeflate
	seen := map[string]bool{}
	offer.Parameters.ForEach(func(name, value []byte) bool {
		ok = ok && !seen[string(name)] && acceptableParameter(string(name), value)
		seen[string(name)] = true
		return ok
	})
	return ok
}

func acceptableParameter(name string, value []byte) bool {
	switch name {
	case serverNoContextTakeover, clientNoContextTakeover:
		return value == nil
	case clientMaxWindowBits: // what the client may be asked for, and is not
		return value == nil || isWindowBits(string(value))
	case serverMaxWindowBits:
		return string(value) == maxWindowBits
	}
	return false
}

// maxWindowBits stands for a window of 32 KiB, the largest of DEFLATE.
const maxWindowBits = "15"

// isWindowBits reports whether a value is a number from 8 to 15, without leading
// zeros.
func isWindowBits(value string) bool {
	n, err := strconv.Atoi(value)
	return err == nil && n >= 8 && n <= 15 && strconv.Itoa(n) == value
}

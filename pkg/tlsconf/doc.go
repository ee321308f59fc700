// Package tlsconf holds what orbitd proves itself with to its peers: a
// certificate and its key, read from files, which may be replaced while
// handshakes go on, and are looked at for that. It also says which versions and ciphers of TLS there are.
//
// It knows nothing of listeners and connections.
package tlsconf

// Package protocol is the codec of orbit.v1: bytes to commands and objects, and
// back. PROTOCOL.md specifies it; the fenced vectors there are this package's
// tests.
//
// It knows nothing of connections, sessions, users' rights or storage, and
// nothing of how a transport cuts its bytes into lines. Everything it returns
// is the caller's own: no result aliases the input.
package protocol

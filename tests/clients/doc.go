// Package clients holds the tests of orbitd with clients that nobody here wrote: the
// EventSource libraries of npm, curl, Go's coder/websocket and Python's websockets.
//
//	(cd tests/clients && npm ci) && go test ./tests/clients     # needs python3-websockets, too
package clients

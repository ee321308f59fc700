// Package loads has those come in crowds who take what a server has and give
// nothing: readers that do not read, requests that come byte by byte, connections
// that say nothing, handshakes that go no further, ten thousand polls at once, and
// messages that grow when they are inflated. The real daemon is to stay small, and
// to serve its other clients all the while.
//
// How much later those are served then is in "make bench": a machine that does
// something else as well would decide on it here.
package loads

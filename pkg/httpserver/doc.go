// Package httpserver accepts connections on the reactor's loops, reads each
// one's first request head in place, and sends it on its way: an upgrade on the
// one path that is parked stays on its loop, everything else goes to net/http
// together with the bytes already read.
//
// It knows nothing of what is served.
package httpserver

// Package admin is the control socket: what `orbitd status`, `reload` and `recheck`
// ask of a running daemon, and what it answers. It is HTTP with JSON over a Unix
// socket, whose file says who may: whoever can write to it.
//
// It knows nothing of how a daemon is made: that hands in what to call.
package admin

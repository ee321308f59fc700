// Package scene is what tests have in common that publish and receive messages while
// something fails: the real daemon, a network that is cut, a publisher, and witnesses
// on every transport, whose histories the checker compares with what was accepted.
//
// It knows the command line, the configuration and orbit.v1, and nothing of the
// server's inside.
package scene

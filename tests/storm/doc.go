// Package storm has many clients come at once: those who guess passwords, and those
// who come back. The real binary and a real directory hold; it is counted what that
// costs them.
//
// It knows the command line, the configuration and orbit.v1, and nothing of the
// server's inside.
package storm

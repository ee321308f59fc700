// Package stomp_test holds the daemon's STOMP to the specifications: frames by hand
// for what no client would send, and clients that nobody here wrote. requirements.md
// says which test holds it to what.
package stomp

// Package client is a client of orbit.v1 over WebSocket: it keeps a connection,
// takes up where it stood after every interruption, hands over each message
// once and in order, and publishes until the server has answered definitely.
//
// It knows nothing of the server's inside; PROTOCOL.md is all it relies on.
package client

// Package transport turns connections from browsers into a session's
// connection: one file a transport, and one state machine of orbit.v1
// (exchange.go, connect.go, commands.go) for all of them. PROTOCOL.md is the document that it follows.
//
// It knows nothing of how messages are stored, nor of who may do what.
package transport

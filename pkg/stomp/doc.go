// Package stomp serves STOMP 1.0, 1.1 and 1.2 on parked connections: with TLS or
// without, and over WebSocket. PROTOCOL.md says what its frames mean here.
//
// A subscription is a view over its channel's log, as a session's is: live, or
// behind. What a durable one keeps is its record, a session of the engine with one
// subscription, which one connection has at a time. A group has a record as well,
// and gives the log's messages out to its members. The package knows nothing of how
// messages are stored, nor of who may do what.
package stomp

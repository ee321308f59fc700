// Package httpapi serves what back ends and scripts call: publish, history and
// login, as PROTOCOL.md, section 8, says.
//
// It knows nothing of sessions, nor of how messages are stored.
package httpapi

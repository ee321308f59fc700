// Package frame is the codec of STOMP 1.0, 1.1 and 1.2: bytes to frames and
// back. https://stomp.github.io has the specifications.
//
// It knows nothing of connections, of what the frames ask for, or of messages.
package frame

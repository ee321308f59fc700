// Package session is one logical client's life: who it is, what it subscribes
// to, what it was sent and what it has acknowledged. A session outlives its
// connections; a named one outlives the daemon.
//
// A subscription is a view over its channel's log, never a queue. It is live
// (handed frames as they commit), behind (its connection takes no more, or its
// window is full; then it reads the log from where it stands), or detached.
//
// It knows nothing of bytes on the wire: a front door gives it a [Conn].
package session

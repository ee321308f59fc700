// Package reactor keeps connections parked: an idle one is a descriptor in an
// epoll instance and a small entry in a table, with no goroutine, no buffer and
// no timer of its own.
//
// A Reactor is a set of loops. Each is one goroutine and the sole owner of its
// connections: every callback of a connection, every function given to Post and
// every hook of a loop runs on that goroutine, one at a time, so that what is
// built on a loop needs no locks. In return nothing that runs there may block.
//
// The loop works in turns: it takes what epoll has, runs what was posted, does
// what those left to be done (connections that were closed, resumed or moved),
// and then calls the OnTurn hooks, which is where a round of output belongs:
// under light load a turn holds one message and under heavy load many.
//
// It knows nothing of protocols, sessions, channels, users or HTTP: bytes come
// in through Handler.Data and leave through Conn.Write. With TLS
// (Reactor.ListenTLS) they are plaintext there, and all else is the same: what is
// kept, pending, moved, detached or adopted, and how a connection ends. A parked
// connection with TLS has its keys and two ciphers beside that, and no
// buffer; handshakes are begun when a hello is there, and run by a few workers.
//
// It is written for Linux.
package reactor

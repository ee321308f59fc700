// Package load plays thousands of clients on one thread: an epoll loop, a table
// entry for each client, and no goroutine, timer or buffer of its own. What it
// costs does not hide what a server costs. It also judges: every subscriber's
// messages are counted against what was published.
//
// It speaks two dialects: orbit.v1, over each of its transports, and that of the
// bare loop that orbitd is compared with. It shares no code with the server.
package load

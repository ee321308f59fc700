// Package kill holds the test that kills the daemon: the real binary gets
// SIGKILL at random moments while messages are published and received, and the
// checker compares what was accepted with what every subscriber was given. Processes
// that consume durable sessions are killed, too, and the network is cut. The same by
// STOMP: SENDs with receipts, a durable subscription of each ack mode, a group, and one that
// refuses some.
//
//	go test ./tests/kill            # 10,000 messages, 20 kills, 200 clients on all transports, 4 consumers
//	go test -short ./tests/kill     # 2,000 messages, 5 kills, 50 clients
//	go test ./tests/kill -args -messages 50000 -kills 100 -clients 20 -seed 7
//
// It knows the command line, the configuration, orbit.v1 and STOMP, and nothing of the
// server's inside.
package kill

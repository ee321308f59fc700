// Package message holds the words that every part of orbitd shares: offsets,
// epochs, positions, messages, and the errors that a peer may see.
//
// It knows nothing of files, connections, users' rights or wire formats.
package message

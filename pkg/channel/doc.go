// Package channel holds the names of channels and the patterns that match them.
//
// It knows nothing of messages, users' rights or configuration files.
package channel

// Package engine is the contract of what stores messages in order and gives
// them back: [Engine]. Package enginetest holds the invariants as a test suite
// that every engine passes; local, memory (and later jetstream) are engines.
//
// It knows nothing of users' rights, connections or wire formats.
package engine

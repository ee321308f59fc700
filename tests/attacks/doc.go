// Package attacks is what an attacker tries against a daemon, each row of its tables a
// test. The table in SECURITY.md names these tests, and those of what is tried against
// one part alone, which stand with that part.
package attacks

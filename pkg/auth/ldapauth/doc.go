// Package ldapauth proves users against an LDAP directory (RFC 4511): it finds a
// user's entry with an account of its own, binds as that entry with the password
// that was offered, and reads the groups. What the directory says of users who
// are connected it looks up again.
//
// A definite no and "could not be found out" are never mixed up: whatever goes
// wrong on the way to the directory is the latter, and lets nobody in.
//
// It knows nothing of channels, rules, sessions or how a password arrives.
package ldapauth

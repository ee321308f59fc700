// Package fileauth keeps users in a text file: one line each, with the name, the
// hash of the password and the groups.
//
//	# name:argon2id hash:group,group
//	alice:$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA:editors,staff
//
// It knows nothing of tokens, rules or who asks.
package fileauth

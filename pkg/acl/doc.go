// Package acl holds the compiled rules: it turns a subject, an action and a
// channel into a decision and the rule that made it.
//
// The rules are read from top to bottom and the first one whose pattern matches
// the channel decides; where none does, everything is forbidden. Which rule
// matches depends on the channel alone, never on who asks, so that one rule says
// both who may use a channel and how its messages are stored. "{user}" in a
// pattern therefore matches any user's name, and the principal "self" is that
// user.
//
// It knows nothing of how a subject was authenticated, of configuration files'
// syntax, of stored messages or of connections.
package acl

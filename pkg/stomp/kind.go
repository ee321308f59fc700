package stomp

import (
	"crypto/sha256"
	"strings"

	"github.com/orbitd/orbitd/pkg/engine"
)

// A kind is what a record is of.
type kind uint8

const (
	durableKind kind = iota
	groupKind
	kinds
)

func (k kind) String() string { return [kinds]string{"durable", "group"}[k] }

// recordKey derives the key of a record; no part contains NUL. Other sessions' keys
// begin otherwise: see session.keyOf.
func recordKey(k kind, realm, user, client, name string) engine.SessionKey {
	sum := sha256.Sum256([]byte("stomp " + k.String() + "\x00" + realm + "\x00" + user + "\x00" + client + "\x00" + name))
	return engine.SessionKey(sum[:16])
}

// kindOf returns the kind of the record that a stored session is, if it is one. Those
// of orbit.v1 have no slash in their names; a durable subscription's begins with the
// client-id, which may be "group".
func kindOf(s *engine.Session) (k kind, ok bool) {
	client, name, ok := strings.Cut(s.Name, "/")
	if ok && client == "group" && len(s.Subscriptions) == 1 && s.Key == recordKey(groupKind, s.Realm, s.User, string(s.Subscriptions[0].Channel), name) {
		return groupKind, true
	}
	return durableKind, ok
}

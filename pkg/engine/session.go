package engine

import (
	"context"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// A SessionStore keeps named sessions: what makes a resend queue outlive its
// connection and the daemon. A session that was not seen for its TTL is gone.
type SessionStore interface {
	// SaveSession stores s whole, in place of what its key held; Seen becomes
	// now. done is called once, from a goroutine of the engine, when s is
	// durable or failed to be; it must not block. Calls of one goroutine keep
	// their order, MoveCursors included.
	SaveSession(s Session, done func(error))

	// DropSession removes a session. done as for SaveSession.
	DropSession(key SessionKey, done func(error))

	// MoveCursors sets cursors of stored sessions and their Seen to now, lazily:
	// with the next commit, but within a second. Moves of unknown sessions or
	// subscriptions are dropped; a cursor never moves backwards.
	MoveCursors(moves []CursorMove)

	// Session returns the stored session, with all moves so far. The caller owns
	// the copy.
	Session(ctx context.Context, key SessionKey) (s Session, ok bool, err error)

	// Sessions calls yield for each stored session, in no order, until it
	// returns false.
	Sessions(ctx context.Context, yield func(Session) bool) error
}

// A SessionKey names a stored session. Its maker derives it from realm, user
// and name, so that nobody can name another's.
type SessionKey [16]byte

// A Session is what is stored of one logical client.
type Session struct {
	Key   SessionKey
	Realm string
	User  string
	Name  string
	// Secrets holds hashes of the secrets that may take the session up, which pkg/session
	// makes: the newest, then the one before it. Zero is none.
	Secrets       [2][32]byte
	TTL           time.Duration
	Seen          int64 // Unix milliseconds; set by the engine
	Subscriptions []Subscription
}

// A Subscription is one channel of a session and what was acknowledged of it.
// A session has one of each (Channel, ID).
type Subscription struct {
	Channel channel.Name
	ID      string // STOMP's; empty for orbit.v1
	Cursor  Cursor
	// Options is the front door's own: it is stored and given back as it is.
	Options []byte
}

// A Cursor is what a client has acknowledged of a channel: everything up to
// Position, and the few offsets above it, in increasing order.
type Cursor struct {
	Position message.Position
	Above    []message.Offset
}

// A CursorMove sets one cursor. With an empty Channel it only says that the
// session was seen.
type CursorMove struct {
	Key     SessionKey
	Channel channel.Name
	ID      string
	Cursor  Cursor
}

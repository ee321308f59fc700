package session

import (
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Conn carries what a session has to say to its client. It is called on the
// session's loop only. What it is given is queued, in order, and sent at the end
// of the loop's turn.
type Conn interface {
	// Format is how messages are framed for Frames.
	Format() hub.Format
	// Frames sends messages that are framed already. The bytes are shared and
	// immutable, and may be kept until they are sent.
	Frames(b []byte)
	// Blocked reports that the connection takes no more for now. When it does
	// again, it calls Session.Writable.
	Blocked() bool

	At(name channel.Name, offset message.Offset)
	Gap(g engine.Gap)
	Revoked(name channel.Name, why *message.Error)
	// Bye tells the client why its connection ends, and ends it. With a retry
	// the client comes back after that time.
	Bye(code string, retry time.Duration)
}

// The codes of Bye that a session gives.
const (
	ByeDisplaced    = "displaced"
	ByeUnauthorized = "unauthorized"
)

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// An Engine stores messages in order and gives them back. All methods may be
// called concurrently. The invariants of the contract:
//
//  1. An offset that was handed to a done function is readable after a crash at
//     any later instant (but for memory channels, see Rule).
//  2. Offsets increase strictly, also across restarts, are never given twice and
//     stay at or below message.MaxOffset. Messages become visible in the order
//     of their offsets, those of memory channels included.
//  3. Read returns a channel's messages in order and all of them, but those it
//     reports as a Gap. A channel's last offset outlives its messages; where it
//     was forgotten, or the position is of another history, there is a Gap even
//     if nothing is left to read.
//  4. One idempotency key, one message, also when the answer got lost in a crash.
//  5. Trimming never removes what the rules still cover. A stored cursor is
//     never ahead of what MoveCursors or SaveSession was given, and less than a
//     second of moves is lost by a crash.
//  6. A full or failing disk makes Submit fail with a clear error and leaves all
//     that was accepted readable. A failed sync is never retried as if nothing
//     had happened.
//  7. Errors are *message.Error, and definite (never stored) but for
//     message.Unknown: the retry with the same key settles which. Where the key was
//     forgotten the retry gets message.KeyExpired, which leaves it open.
//  8. The messages of one Submit are stored all or none, also across a crash; with
//     SubmitSaving, its sessions with them.
//  9. What SaveSession, SubmitSaving and DropSession were given survives a crash once
//     done was called.
type Engine interface {
	// Submit asks for msgs to be stored as one atomic unit, on behalf of each
	// message's Publisher. It does not block and does not keep msgs' backing
	// array, but the messages' own slices from then on belong to the engine.
	// done is called once, from a goroutine of the engine, with one receipt a
	// message after they are durable and readable, or with an error and nothing
	// stored; it must not block. Submits of one goroutine to the channels of one
	// application keep their order.
	//
	// Errors: message.Conflict (the key was used with other content),
	// message.KeyExpired (a key was forgotten that was stored at First or later),
	// message.OutOfOrder (Predecessor is not stored), message.Unavailable (disk
	// full or failing, closing, or too much pending), message.Unknown (the disk
	// failed while these were being written), message.TooLarge. Error.Index says
	// which message was refused.
	Submit(msgs []message.Message, done func([]Receipt, error))

	// SubmitSaving is Submit that also stores sessions, as SaveSession does: all the
	// messages and all the sessions, or nothing. Where every message is stored
	// already, by its key, the sessions still are.
	SubmitSaving(msgs []message.Message, sessions []Session, done func([]Receipt, error))

	// Read returns the messages of channels after a position, in offset order,
	// and what can no longer be read in between. It may block on the disk.
	Read(ctx context.Context, channels []channel.Name, after message.Position, limit Limit) (Batch, error)

	// History returns up to limit of the newest messages of ch whose offset is
	// below before (0: no bound), oldest first. It reports no gaps.
	History(ctx context.Context, ch channel.Name, before message.Offset, limit Limit) (Batch, error)

	// Tip returns where ch ends, from memory. ok is false where that would take
	// a look elsewhere; Read then tells.
	Tip(ch channel.Name) (tip Tip, ok bool)

	// Tail calls deliver for every batch as it becomes visible, in order, from
	// one goroutine of the engine, after the batch can be read and before done
	// is called for its messages. deliver must not block and may keep the batch.
	// After stop returns deliver is not called again.
	Tail(deliver func(Batch)) (stop func())

	// SetRules replaces the rules by which channels are stored and trimmed.
	// rules is called concurrently and must be pure.
	SetRules(rules func(channel.Name) Rule)

	SessionStore

	// Status tells how the engine is.
	Status() Status

	// Close refuses new work, finishes what is pending, stores all cursors and
	// releases everything. It is idempotent.
	Close(ctx context.Context) error
}

// A Meter is an engine that counts what each application has stored, and bounds it.
type Meter interface {
	// Stored returns the bytes, of message.Message.Size, that the channels of an
	// application hold and retention still covers, or a little more.
	Stored(app string) int64
	// SetQuotas replaces the bounds of applications that have one. A Submit that
	// would exceed one is refused as message.Unavailable, with ErrQuota in its
	// chain and Index at a message of that application, unless all of it is stored
	// already. The map is not to be changed any more.
	SetQuotas(bytes map[string]int64)
}

// A Recaller is an engine that tells what became of messages, by their keys.
type Recaller interface {
	// Recall is SubmitSaving, but that no message is stored: unless all of msgs are
	// stored already, they are refused with otherwise, and no session is stored.
	Recall(msgs []message.Message, sessions []Session, otherwise *message.Error, done func([]Receipt, error))
}

// ErrQuota is the cause of errors by which one application is refused what others
// may do.
var ErrQuota = errors.New("the quota of the application is used up")

// A Receipt tells a publisher what became of one message.
type Receipt struct {
	Offset    message.Offset
	Duplicate bool // its key was stored before; Offset is that message's
}

// A Limit bounds what one read returns: whichever of the two is reached first,
// but always one message if there is any. Zero fields take DefaultLimit's.
type Limit struct {
	Messages int
	Bytes    int // of message.Message.Size
}

// DefaultLimit is used for the zero fields of a Limit.
var DefaultLimit = Limit{Messages: 256, Bytes: 256 << 10}

// A Batch is a run of messages in offset order.
type Batch struct {
	Epoch    message.Epoch // the engine's current run
	Messages []message.Message
	// Gaps says which ranges cannot be read any more, in order of To. A gap
	// comes before every message of its channel in the batch.
	Gaps []Gap
	// Through is how far the batch is complete for its channels: everything up
	// to and with this offset is in the batch, in a gap, or at or before the
	// position read from.
	Through message.Offset
	// More is set if the limit ended the batch: read on after Through.
	More bool
}

// A Gap is a range of a channel that can no longer be delivered: nothing with
// After < offset <= To will ever come.
type Gap struct {
	Channel channel.Name
	After   message.Offset
	To      message.Offset
	Reason  Reason
}

// A Reason says why a range is a gap.
type Reason string

// The reasons an engine gives; the core adds "forbidden" of its own.
const (
	Expired Reason = "expired" // retention removed it, or the channel was forgotten
	History Reason = "epoch"   // the position belongs to another history
	Lost    Reason = "lost"    // it was in a memory channel, in an earlier run or a full ring
)

// A Tip is where a channel ends: Last is its last visible message (0: none is
// known), Visible the engine's, read together. Visible.Offset is never zero, so
// it can stand for "from now on" where an offset of zero would say "from the
// oldest".
type Tip struct {
	Last    message.Offset
	Visible message.Position
}

// A Rule says how a channel's messages are stored and for how long. A zero
// limit is none.
type Rule struct {
	Memory   bool // a bounded ring in memory that promises order alone
	Age      time.Duration
	Messages int
	Bytes    int64 // of message.Message.Size
}

// Status tells how an engine is. Time is now, in Unix milliseconds, by the clock that keys
// are remembered by: what a publisher is to take First from. Refusing is nil while it takes
// publishes, else why it does not and what to do.
type Status struct {
	Epoch    message.Epoch
	Visible  message.Offset
	Time     int64
	Refusing error
}

package session

import (
	"context"
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// readBytes bounds what one read of the log brings at a time to a client that
// catches up.
const readBytes = 128 << 10

// failRetry is when a client whose read failed comes back.
const failRetry = 2 * time.Second

// A subscription is one channel of a session: a view over the channel's log. It
// is owned by the session's loop.
type subscription struct {
	hub.Subscription // Sent: up to where everything was sent
	session          *Session
	name             channel.Name

	acked  message.Position // the cursor
	epoch  message.Epoch    // of Sent
	past   *past            // nil, mostly
	window window

	// life counts joins, starts and stops, so that the answer of a read that
	// was asked for in an earlier one is known as such.
	life    uint32
	stored  bool // was read from the engine: how far it was sent is not known
	started bool // its reply was queued: messages may follow
	reading bool // a read of the log is under way

	// place is what the session has in the channel's application. One of its
	// subscriptions there has it for all of them.
	place broker.Place
}

// A past is what a subscription has to know that started in the past, until it has
// caught up, and one whose client may have had an earlier process.
type past struct {
	again    message.Offset // up to here that process may have had messages
	early    message.Offset // was acknowledged before Sent was trusted
	resumed  bool           // starts at the cursor
	claimed  bool           // the cursor is where the client says it stands, and of an earlier run, if any
	trusted  bool           // Sent is known to belong to this history
	replayed bool           // it has caught up, and At has said so
}

// trusted reports whether Sent is known to belong to this history.
func (sub *subscription) trusted() bool { return sub.past == nil || sub.past.trusted }

// again returns up to where messages may come for the second time.
func (sub *subscription) again() message.Offset {
	if sub.past == nil {
		return 0
	}
	return sub.past.again
}

// join makes sub a member of its channel's topic and returns where the channel
// ends, after everything from there on is sure to come.
func (sub *subscription) join() message.Position {
	s := sub.session
	visible := s.part.join(&sub.Subscription, sub.name, s.conn.Format())
	sub.name = sub.Channel() // all members of a topic share the bytes of its name
	return visible
}

// begin sets where sub stands. Where the client says that itself, it goes on
// behind what it has had, and yet an earlier process of it may have been further.
func (sub *subscription) begin(start Start, visible message.Position) {
	again := sub.again()
	if sub.stored {
		sub.stored, again = false, visible.Offset
	}
	if sub.claimed() {
		sub.acked = message.Position{}
	}
	if !start.Given {
		sub.Sent, sub.epoch, sub.past = visible.Offset, visible.Epoch, nil
		if again > 0 {
			sub.past = &past{again: again, trusted: true, replayed: true}
		}
		sub.moveCursor(visible)
		return
	}
	sub.Sent, sub.epoch, sub.past = start.After.Offset, start.After.Epoch, &past{again: again}
	switch {
	case sub.Sent == 0:
	case sub.epoch != visible.Epoch:
		// It is stored before the log tells, in a named session: that run has ended, so a
		// later look tells the same.
		if sub.acked == (message.Position{}) {
			sub.acked, sub.past.claimed = start.After, true
		}
	case sub.Sent <= visible.Offset:
		sub.past.trusted = true
		sub.vouched(start.After)
	}
}

// claimed reports whether the cursor is not known to belong to this history.
func (sub *subscription) claimed() bool { return sub.past != nil && sub.past.claimed }

// stop ends delivery: the connection is gone, or the subscription moves or ends.
func (sub *subscription) stop() {
	sub.life++
	sub.started, sub.reading = false, false
	sub.session.unacked -= sub.window.clear()
	sub.session.part.shard.Leave(&sub.Subscription)
}

// room is how many messages and bytes the window has left.
func (sub *subscription) room() (messages, bytes int) {
	limits := &sub.session.part.manager.limits
	return limits.Window - sub.window.count(), min(limits.WindowBytes-sub.session.unacked, readBytes)
}

// Deliver takes the next messages while sub is live; see hub.Subscriber.
func (sub *subscription) Deliver(_ *hub.Subscription, run hub.Run) bool {
	s := sub.session
	limits := &s.part.manager.limits
	tooMany := len(run.Ends) > limits.Window-sub.window.count()
	single := s.unacked == 0 && len(run.Ends) == 1 // goes through, however large
	tooMuch := len(run.Frames) > limits.WindowBytes-s.unacked && !single
	if tooMany || tooMuch || s.conn.Blocked() {
		s.part.behind = append(s.part.behind, sub)
		return false
	}
	sub.send(run)
	return true
}

func (sub *subscription) send(run hub.Run) {
	sub.session.conn.Frames(run.Frames)
	sub.session.part.count.add(run)
	sub.window.sent(run)
	sub.session.unacked += len(run.Frames)
}

// pump sends what sub lacks for as long as its connection and its window take
// it, from the shard's memory or else from the log, and makes it live when it
// has caught up. It may be called at any time.
func (sub *subscription) pump() {
	for sub.started && !sub.reading && !sub.Live() && !sub.session.conn.Blocked() {
		messages, bytes := sub.room()
		if messages <= 0 || bytes <= 0 {
			return
		}
		if !sub.trusted() || sub.Sent < sub.again() {
			sub.read(messages, bytes)
			return
		}
		run, ok := sub.session.part.shard.Backlog(&sub.Subscription, messages, bytes)
		switch {
		case !ok:
			sub.read(messages, bytes)
			return
		case len(run.Ends) == 0:
			sub.caughtUp()
			return
		}
		sub.send(run)
		sub.Sent = run.Last()
	}
}

func (sub *subscription) caughtUp() {
	sub.Sent = max(sub.Sent, sub.Through())
	if p := sub.past; p != nil && !p.replayed {
		p.replayed = true
		if p.again == 0 {
			sub.past = nil
		}
		sub.session.conn.At(sub.name, sub.Sent)
	}
	sub.session.part.shard.Resume(&sub.Subscription)
}

// read asks a worker for the next messages in the log. What it may bring counts
// as sent meanwhile, and to its end also if sub has stopped: however many
// subscriptions catch up at once, and however often they are begun anew, the
// session's limit of bytes bounds what is read for it.
func (sub *subscription) read(messages, bytes int) {
	sub.reading = true
	s, life := sub.session, sub.life
	s.unacked += bytes
	name, format, again := sub.name, s.conn.Format(), sub.again() // they are the loop's
	after := message.Position{Epoch: sub.epoch, Offset: sub.Sent}
	b := s.part.manager.broker
	b.Go(func() {
		batch, err := b.Read(context.Background(), name, after, engine.Limit{Messages: messages, Bytes: bytes})
		page := frame(format, batch, again)
		s.part.loop.Post(func() {
			s.freeing(func() {
				s.unacked -= bytes
				if sub.life == life {
					sub.arrived(page, err)
				}
			})
		})
	})
}

// A page is one read of the log, framed.
type page struct {
	engine.Batch
	run hub.Run
}

func frame(format hub.Format, b engine.Batch, again message.Offset) page {
	p := page{Batch: b}
	for i := range b.Messages {
		m := &b.Messages[i]
		p.run.Frames = format.Append(p.run.Frames, m, m.Offset <= again)
		p.run.Ends = append(p.run.Ends, hub.End{Offset: m.Offset, At: len(p.run.Frames)})
	}
	return p
}

// arrived takes a page of the log that was asked for.
func (sub *subscription) arrived(p page, err error) {
	sub.reading = false
	if err != nil {
		sub.fail(err)
		return
	}
	if s := sub.session; s.unacked >= s.part.manager.limits.WindowBytes {
		return // other reads have brought a message more than they had room for
	}
	for _, gap := range p.Gaps {
		sub.session.conn.Gap(gap)
		sub.Sent = gap.To
	}
	sub.verified(p)
	if sub.again() == 0 { // else frames may say that they come again, to this client
		sub.session.part.shard.Fill(&sub.Subscription, sub.Sent, p.run, p.Through)
	}
	if len(p.run.Ends) > 0 {
		sub.send(p.run)
	}
	sub.Sent = max(sub.Sent, p.Through)
	sub.pump()
}

// verified notes, after the first read from a start in the past, that the start
// belongs to this history: the engine has said so, or given a gap.
func (sub *subscription) verified(p page) {
	if sub.trusted() {
		return
	}
	lost := sub.past.resumed || sub.past.claimed // the cursor itself, where the position is
	sub.past.trusted, sub.past.claimed, sub.epoch = true, false, p.Epoch
	at := message.Position{Epoch: p.Epoch, Offset: sub.Sent}
	switch {
	case len(p.Gaps) == 0:
		sub.vouched(at)
		sub.moveCursor(message.Position{Epoch: p.Epoch, Offset: sub.past.early})
	case p.Gaps[0].Reason != engine.History:
		sub.moveCursor(at) // what is gone can never be acknowledged
	case lost:
		sub.acked = message.Position{}
		sub.moveCursor(at)
	default:
		sub.vouched(at)
	}
}

// vouched takes what a client said it has as acknowledged, but where the
// application acknowledges for itself and has a cursor already.
func (sub *subscription) vouched(at message.Position) {
	if !sub.session.manual || sub.acked == (message.Position{}) {
		sub.moveCursor(at)
	}
}

// fail ends the connection after a failed read. What is missing stays in the
// log; the client comes back and asks for it again.
func (sub *subscription) fail(err error) {
	s := sub.session
	s.part.manager.log.WithError(err).WithField("channel", sub.name).Error("cannot read the log for a subscriber")
	s.dismiss(string(message.Unavailable), failRetry)
}

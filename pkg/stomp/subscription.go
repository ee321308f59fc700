package stomp

import (
	"context"
	"strconv"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// readBytes bounds what one read of the log brings at a time to a client that
// catches up.
const readBytes = 128 << 10

// A subscription is one client's view over a channel's log. It is owned by its
// connection's loop.
type subscription struct {
	hub.Subscription // Sent: up to where everything was sent
	conn             *conn
	id               string
	name             channel.Name
	mode             mode
	limit            int            // messages sent and not acknowledged
	number           int            // in the headers ack of its messages
	prefix           []byte         // of messages, where nothing in it is the message's own
	record           *record        // of a durable one
	taken            message.Offset // of a durable one that acknowledges nothing: what the socket has taken

	epoch      message.Epoch  // of Sent
	trusted    bool           // Sent is known to belong to this history
	gap        []byte         // to be told with the next message
	gapFrom    message.Offset // read after this, it is told again
	window     window
	again      []message.Offset
	undertaker *undertaker // made with the first message that was refused too often
	share      *share      // of a consumer of a group

	life    uint32 // tells reads of an earlier life
	started bool   // its beginning is stored
	reading bool
	over    bool
}

// A mode says what a client acknowledges, and how.
type mode uint8

const (
	auto       mode = iota // nothing
	cumulative             // client: each ack is for all before it as well
	individual             // client-individual
)

// join makes s a member of its channel's topic: nothing that commits from now on is
// missed. It stands where the engine is, or where start says.
func (s *subscription) join(start message.Position, given bool) {
	c := s.conn
	status := c.server().broker.Engine()
	tip := func() (engine.Tip, bool) { return status.Tip(s.name) }
	s.Subscriber = s
	c.part.shard.Join(&s.Subscription, s.name, s.format(), tip)
	now, _ := tip()
	s.Sent, s.epoch, s.trusted = now.Visible.Offset, now.Visible.Epoch, true
	if given {
		s.trusted = start.Epoch == s.epoch && start.Offset <= s.Sent && start.Offset > 0
		s.Sent, s.epoch = start.Offset, start.Epoch
	}
	s.taken = s.Sent
}

func (s *subscription) format() hub.Format {
	c := s.conn
	return format{c.version(), c.socket != nil, c.server().broker.Engine().Status().Epoch}
}

// stop ends delivery. What is not acknowledged of a durable subscription is sent
// again in its next life.
func (s *subscription) stop() {
	s.life++
	s.over = true
	if s.record != nil {
		s.record.release()
	}
	if s.share != nil {
		s.leaveGroup()
	}
	if s.undertaker != nil {
		s.undertaker.stop()
	}
	for d := range s.window.affected(message.MaxOffset, false) {
		s.conn.paid(d.size)
	}
	s.again = nil
	s.conn.part.shard.Leave(&s.Subscription)
}

// settle takes a delivery out of what is unacknowledged.
func (s *subscription) settle(d *delivery) {
	s.window.settle(d)
	if !s.over { // else stop has let go of it
		s.conn.paid(d.size)
	}
	if s.share != nil {
		s.share.acked = append(s.share.acked, d.offset)
	}
}

// room is how many messages and bytes may be sent now.
func (s *subscription) room() (messages, bytes int) {
	if s.mode == auto {
		return s.limit, readBytes
	}
	return s.limit - len(s.window.open), min(readBytes, s.conn.server().limits.WindowBytes-s.conn.unacked)
}

// Deliver takes the next messages while s is live; see hub.Subscriber.
func (s *subscription) Deliver(_ *hub.Subscription, run hub.Run) bool {
	messages, bytes := s.room()
	single := len(run.Ends) == 1 && s.conn.unacked == 0 // goes through, however large
	full := s.mode != auto && (len(run.Ends) > messages || len(run.Frames) > bytes && !single)
	if full || s.conn.blocked {
		s.conn.part.behind = append(s.conn.part.behind, s)
		return false
	}
	s.send(run)
	return true
}

// pump sends what s lacks for as long as its connection and its window take it, from
// the shard's memory or else from the log, and makes it live when it has caught up.
// It may be called at any time.
func (s *subscription) pump() {
	if s.share != nil {
		s.tell()
		return
	}
	for s.Joined() && s.started && !s.reading && !s.conn.blocked {
		if len(s.again) > 0 {
			s.read(message.Position{Epoch: s.conn.server().broker.Engine().Status().Epoch, Offset: s.again[0] - 1}, engine.Limit{Messages: 1}, s.repeat)
			return
		}
		messages, bytes := s.room()
		if s.Live() || messages <= 0 || bytes <= 0 {
			return
		}
		run, ok := hub.Run{}, s.trusted
		if ok {
			run, ok = s.conn.part.shard.Backlog(&s.Subscription, messages, bytes)
		}
		switch {
		case !ok:
			s.read(message.Position{Epoch: s.epoch, Offset: s.Sent}, engine.Limit{Messages: messages, Bytes: bytes}, s.arrived)
			return
		case len(run.Ends) == 0:
			s.Sent = max(s.Sent, s.Through())
			s.conn.part.shard.Resume(&s.Subscription)
			return
		}
		s.send(run)
		s.Sent = run.Last()
	}
}

// read asks a worker for messages of the log, framed, and calls then with them.
func (s *subscription) read(after message.Position, limit engine.Limit, then func(engine.Batch, hub.Run)) {
	s.reading = true
	c, life, name, format := s.conn, s.life, s.name, s.format()
	b := c.server().broker
	b.Go(func() {
		batch, err := b.Read(context.Background(), name, after, limit)
		run := framed(format, batch)
		c.part.loop.Post(func() {
			if s.life != life {
				return
			}
			s.reading = false
			if err != nil {
				c.server().log.WithError(err).WithField("channel", name).Error("cannot read the log for a subscriber")
				c.fail(err, nil)
				return
			}
			then(batch, run)
			s.pump()
		})
	})
}

func framed(f hub.Format, b engine.Batch) (run hub.Run) {
	for i := range b.Messages {
		m := &b.Messages[i]
		run.Frames = f.Append(run.Frames, m, false)
		run.Ends = append(run.Ends, hub.End{Offset: m.Offset, At: len(run.Frames)})
	}
	return run
}

// arrived takes the next page of the log. A gap is told with the message behind it:
// a frame of its own would be one that the application does not know.
func (s *subscription) arrived(b engine.Batch, run hub.Run) {
	s.epoch, s.trusted = b.Epoch, true
	for _, g := range b.Gaps {
		s.missed(g)
	}
	s.send(run)
	s.Sent = max(s.Sent, b.Through)
	s.window.passed(s.Sent)
}

func (s *subscription) missed(g engine.Gap) {
	if s.gap == nil {
		s.gapFrom = g.After
	}
	s.gap = frame.AppendHeader(nil, s.conn.version(), "gap", gapText(s.gapFrom, &g))
	if s.Sent = g.To; g.Reason == engine.History { // gapFrom means nothing in this one
		s.gapFrom, s.taken = g.To, g.To
	}
}

// gapText is the header gap where the first that is missing comes after an offset.
func gapText(after message.Offset, g *engine.Gap) string {
	return strconv.FormatUint(uint64(after), 10) + "-" + strconv.FormatUint(uint64(g.To), 10) + " " + string(g.Reason)
}

// repeat takes the message that is sent again. One that retention has removed
// meanwhile is as good as acknowledged.
func (s *subscription) repeat(b engine.Batch, run hub.Run) {
	offset := s.again[0]
	s.again = s.again[1:]
	d := s.window.at(offset)
	switch {
	case d == nil: // acknowledged meanwhile
	case len(b.Messages) == 1 && b.Messages[0].Offset == offset:
		s.one(offset, run.Frames, true)
	default:
		s.settle(d)
		s.advance()
	}
}

// send sends a run of messages, but for what was acknowledged in an earlier life.
func (s *subscription) send(run hub.Run) {
	start := run.Start
	for _, e := range run.Ends {
		shared := run.Frames[start-run.Start : e.At-run.Start : e.At-run.Start]
		start = e.At
		if s.window.wasEarly(e.Offset) {
			continue
		}
		if s.mode != auto {
			before := e.Offset - 1
			if s.gap != nil {
				before = s.gapFrom
			}
			s.window.add(delivery{offset: e.Offset, before: before, size: len(shared)})
			s.conn.owes(len(shared))
		}
		s.one(e.Offset, shared, e.Offset <= s.window.past)
	}
}

// advance lets go of what is acknowledged, and has a durable subscription's place
// stored.
func (s *subscription) advance() {
	if s.share != nil {
		s.window.purge()
		return
	}
	s.window.advance()
	if s.record != nil {
		s.record.changed(false)
	}
}

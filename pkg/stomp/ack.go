package stomp

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// ack carries out an ACK or a NACK, or adds it to a transaction. One for a
// subscription that has ended, or for a message that is acknowledged already, has
// been overtaken and does nothing; one for what was never sent is a mistake.
func (c *conn) ack(f *frame.Frame) {
	s, offset, err := c.acknowledged(f)
	if err != nil {
		c.fail(err, f)
		return
	}
	nack := f.Command == frame.Nack // f is borrowed
	carryOut := func() {
		switch {
		case s == nil || !s.Joined():
		case nack:
			s.nack(offset)
		default:
			s.ack(offset)
		}
	}
	if id, ok := f.Get("transaction"); ok {
		if t := c.inside(string(id), f); t != nil {
			t.acks = append(t.acks, carryOut)
			c.bounded(t, f)
		}
		return
	}
	carryOut()
	c.receipt(f)
}

// acknowledged returns which message an ACK or NACK is for: by its ack header in 1.2,
// before by its message-id and, where the client has said it, its subscription. s is
// nil if that has ended.
func (c *conn) acknowledged(f *frame.Frame) (s *subscription, offset message.Offset, err error) {
	unknown := message.Errorf(message.BadRequest, "%s for what was not sent, or needs no acknowledgement", f.Command)
	if c.version() == frame.V12 {
		number, offset, ok := parseAck(f.Text("id"))
		if !ok || number >= c.numbers {
			return nil, 0, unknown
		}
		if s = c.numbered[number]; s != nil && (s.mode == auto || !s.wasSent(offset)) {
			return nil, 0, unknown
		}
		return s, offset, nil
	}
	p, ok := parseID(f.Text("message-id"))
	if !ok {
		return nil, 0, unknown
	}
	if id, named := f.Get("subscription"); named {
		if s = c.subs[string(id)]; s != nil && s.mode != auto && !s.wasSent(p.Offset) {
			return nil, 0, unknown
		}
		return s, p.Offset, nil
	}
	for _, s := range c.numbered {
		if s.delivery(p.Offset) != nil {
			return s, p.Offset, nil
		}
	}
	return nil, p.Offset, nil
}

// wasSent reports whether a message of that offset may have been sent to the client.
func (s *subscription) wasSent(offset message.Offset) bool {
	if len(s.open) > 0 && offset >= s.open[0].offset {
		return s.delivery(offset) != nil
	}
	return offset <= s.Sent
}

// ack takes a message as processed, where acks are cumulative all before it as well.
func (s *subscription) ack(offset message.Offset) {
	for i := range s.affected(offset) {
		s.settle(&s.open[i])
	}
	s.advance()
	s.conn.resume()
}

// nack has a message sent again, or all up to it.
func (s *subscription) nack(offset message.Offset) {
	for i := range s.affected(offset) {
		if d := &s.open[i]; !d.done && !slices.Contains(s.again, d.offset) {
			s.again = append(s.again, d.offset)
		}
	}
	s.pump()
}

// affected yields the places of the deliveries that an ack of an offset is about.
func (s *subscription) affected(offset message.Offset) func(yield func(int) bool) {
	end := s.after(offset)
	begin := 0
	if s.mode == individual {
		begin = max(end-1, 0)
		if end > 0 && s.open[end-1].offset != offset {
			begin = end
		}
	}
	return func(yield func(int) bool) {
		for i := begin; i < end && yield(i); i++ {
		}
	}
}

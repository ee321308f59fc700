package stomp

import (
	"slices"
	"strings"
	"unsafe"

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
	a := acknowledgement{sub: ended, offset: offset, nack: f.Command == frame.Nack}
	if s != nil {
		a.sub = s.number
	}
	if a.nack {
		a.reason = reasonOf(f)
	}
	if id, ok := f.Get("transaction"); ok {
		if t := c.inside(string(id), f); t != nil {
			t.acks = append(t.acks, a)
			c.bounded(t, int(unsafe.Sizeof(a))+len(a.reason), f)
		}
		return
	}
	c.settle(&a)
	c.receipt(f)
}

// An acknowledgement is an ACK or a NACK. It may wait in a transaction, so it keeps of
// its subscription the number alone.
type acknowledgement struct {
	sub    int
	offset message.Offset
	nack   bool
	reason string
}

// ended is the number of no subscription.
const ended = -1

// settle carries an acknowledgement out, unless its subscription has ended.
func (c *conn) settle(a *acknowledgement) {
	switch s := c.subs.byNumber(a.sub); {
	case s == nil:
	case a.nack:
		s.nack(a.offset, a.reason)
	default:
		s.ack(a.offset)
	}
}

// reasonOf returns what is kept of what a client says about a message that it refuses.
func reasonOf(f *frame.Frame) string {
	reason, _ := f.Get("reason")
	return strings.ToValidUTF8(string(reason[:min(len(reason), maxReason)]), "")
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
		if s = c.subs.byNumber(number); s != nil && (s.mode == auto || !s.wasSent(offset)) {
			return nil, 0, unknown
		}
		return s, offset, nil
	}
	p, ok := parseID(f.Text("message-id"))
	if !ok {
		return nil, 0, unknown
	}
	if id, named := f.Get("subscription"); named {
		if s = c.subs.byKey(string(id)); s != nil && s.mode != auto && !s.wasSent(p.Offset) {
			return nil, 0, unknown
		}
		return s, p.Offset, nil
	}
	for _, s := range c.subs.all {
		if s.window.at(p.Offset) != nil {
			return s, p.Offset, nil
		}
	}
	return nil, p.Offset, nil
}

// wasSent reports whether a message of that offset may have been sent to the client.
func (s *subscription) wasSent(offset message.Offset) bool {
	if open := s.window.open; s.share == nil && len(open) > 0 && offset >= open[0].offset {
		return open[s.window.upTo(offset)-1].offset == offset
	}
	return offset <= s.Sent
}

// ack takes a message as processed, where acks are cumulative all before it as well.
func (s *subscription) ack(offset message.Offset) {
	for d := range s.window.affected(offset, s.mode == individual) {
		s.settle(d)
	}
	s.advance()
	s.conn.resume()
}

// nack has a message sent again, or all up to it. One that was refused too often moves to
// the channel of dead messages, with the reason that the client gives; of a subscription
// that is not durable it is let go of, for whoever may only read must not fill the disk.
func (s *subscription) nack(offset message.Offset, reason string) {
	if s.share != nil {
		s.handBack(offset, reason)
		return
	}
	for d := range s.window.affected(offset, s.mode == individual) {
		if d.dying || slices.Contains(s.again, d.offset) {
			continue
		}
		times := s.window.refuse(d.offset)
		switch _, dies := s.name.Dead(); {
		case !dies || times < s.conn.server().limits.Deliveries:
			s.again = append(s.again, d.offset)
		case s.record == nil:
			s.settle(d)
		default:
			d.dying = true
			s.bury(grave{d.offset, times, reason})
		}
	}
	s.advance()
	if s.record != nil {
		s.record.changed(true)
	}
	s.conn.resume()
}

// bury has a message of a durable subscription moved to the channel of dead messages.
func (s *subscription) bury(g grave) {
	if s.undertaker == nil {
		s.undertaker = &undertaker{part: s.conn.part, name: s.name, window: &s.window, record: s.record, buried: s.buried}
	}
	s.undertaker.take(g)
}

// buried is the undertaker's word about a message.
func (s *subscription) buried(offset message.Offset, err error) {
	d := s.window.at(offset)
	switch {
	case d == nil: // acknowledged meanwhile
	case err == nil:
		s.settle(d)
		s.advance()
	default:
		d.dying = false
		s.again = append(s.again, offset)
	}
	s.conn.resume()
}

package client

import (
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

const (
	ackDelay       = time.Second // acks are lazy
	subscribeRetry = time.Second // after an error that is not definite
	maxBroken      = 3           // subscriptions after one position, before the next one waits
)

// A subscription is a Subscription and where it stands.
type subscription struct {
	Subscription

	// placed is set when position is known. It is not for one that starts now,
	// until the server has said where that is, and for one that a named session
	// continues, until its first message.
	placed   bool
	position message.Position

	// One connection's own.
	request   uint64 // the subscribe without an answer; what comes before it is dropped
	named     bool   // the connect named its position
	retry     bool   // it is to be subscribed again
	broken    int    // how often in a row the chain broke at this position
	processed message.Offset
	acked     message.Offset
	unacked   int
}

func (s *state) subscribe(want Subscription) {
	sub := &subscription{Subscription: want}
	if want.From != nil {
		sub.placed, sub.position = true, *want.From
	}
	if sub.OnGap == nil {
		sub.OnGap = func(Gap) {}
	}
	if sub.OnLive == nil {
		sub.OnLive = func(message.Position) {}
	}
	if sub.OnEnd == nil {
		sub.OnEnd = func(*message.Error) {}
	}
	s.subs[want.Channel] = sub
	if s.hello != nil {
		s.sendSubscribe(sub)
	}
}

func (s *state) unsubscribe(ch channel.Name) {
	if _, ok := s.subs[ch]; !ok {
		return
	}
	delete(s.subs, ch)
	if s.hello != nil {
		s.sendUnsubscribe(ch)
	}
}

func (s *state) sendUnsubscribe(ch channel.Name) {
	s.link.send(&protocol.Command{Op: protocol.OpUnsubscribe, ID: s.id(), Channel: ch})
}

// sendSubscribe asks for sub where it stands. Until the answer everything of
// the channel is of an older subscription.
func (s *state) sendSubscribe(sub *subscription) {
	sub.request, sub.retry = s.id(), false
	s.startAcks(sub)
	c := protocol.Command{Op: protocol.OpSubscribe, ID: sub.request, Channel: sub.Channel}
	if sub.placed {
		c.HasAfter, c.After, c.Epoch = true, sub.position.Offset, sub.position.Epoch
	}
	s.link.send(&c)
}

// resumed compares the session's subscriptions with ours.
func (s *state) resumed(results []protocol.Sub) {
	listed := make(map[channel.Name]bool, len(results))
	for _, result := range results {
		listed[result.Channel] = true
		switch sub := s.subs[result.Channel]; {
		case sub == nil && result.Err == nil:
			s.sendUnsubscribe(result.Channel) // of an earlier life of this session
		case sub == nil:
		case sub.placed && !sub.named:
			s.sendSubscribe(sub)
		case result.Err != nil:
			s.notSubscribed(sub, result.Err)
		}
	}
	for ch, sub := range s.subs {
		if !listed[ch] {
			s.sendSubscribe(sub)
		}
		sub.named = false
		s.startAcks(sub)
	}
}

// startAcks begins to count anew. The position that was named counts as an
// acknowledgement, but not where the application acknowledges: what it said
// while there was no connection is said again.
func (s *state) startAcks(sub *subscription) {
	sub.acked, sub.unacked = 0, 0
	if !s.o.Manual {
		sub.processed = 0
	} else if sub.processed > 0 {
		s.ackSoon()
	}
}

// ackSoon has what was processed acknowledged, lazily.
func (s *state) ackSoon() {
	if s.ackDue.IsZero() {
		s.ackDue = time.Now().Add(ackDelay)
	}
}

// subscribed takes the answer to a subscribe.
func (s *state) subscribed(sub *subscription, o *protocol.Object) {
	sub.request = 0
	switch {
	case o.Err != nil:
		s.notSubscribed(sub, o.Err)
	case !sub.placed:
		sub.placed, sub.position = true, message.Position{Epoch: o.Epoch, Offset: o.Offset}
		sub.OnLive(sub.position)
	}
	if sub.processed > sub.acked { // it may have been due while there was no answer
		s.ackSoon()
	}
}

func (s *state) notSubscribed(sub *subscription, e *message.Error) {
	if definite(e.Code) {
		s.end(sub, e)
		return
	}
	s.subscribeLater(sub)
}

func (s *state) subscribeLater(sub *subscription) {
	sub.retry = true
	if s.retryAt.IsZero() {
		s.retryAt = time.Now().Add(jitter(subscribeRetry))
	}
}

func (s *state) retrySubscriptions() {
	s.retryAt = time.Time{}
	for _, sub := range s.subs {
		if sub.retry {
			s.sendSubscribe(sub)
		}
	}
}

func (s *state) end(sub *subscription, e *message.Error) {
	delete(s.subs, sub.Channel)
	sub.OnEnd(e)
}

// current returns the subscription that a push is for, if it is for one.
func (s *state) current(ch channel.Name) *subscription {
	sub := s.subs[ch]
	if sub == nil || sub.request != 0 || sub.retry || s.hello == nil {
		return nil
	}
	return sub
}

// message applies the client's rule of PROTOCOL.md section 3. Behind position 0,
// the oldest that is retained, any predecessor is right.
func (s *state) message(m *message.Message, redelivered bool) {
	sub := s.current(m.Channel)
	switch {
	case sub == nil:
		return
	case sub.placed && m.Offset <= sub.position.Offset:
		s.note(sub, m.Offset)
		return
	case sub.placed && sub.position.Offset != 0 && m.Previous > sub.position.Offset:
		s.missing(sub)
		return
	}
	sub.broken = 0
	sub.placed, sub.position = true, message.Position{Epoch: s.hello.Epoch, Offset: m.Offset}
	sub.OnMessage(m, s.hello.Epoch, redelivered)
	s.note(sub, m.Offset)
}

// missing subscribes again after what there is. Where that does not help, not at
// full speed.
func (s *state) missing(sub *subscription) {
	s.log.WithField("channel", sub.Channel).Debug("a message is missing; subscribing again")
	if sub.broken++; sub.broken > maxBroken {
		s.subscribeLater(sub)
		return
	}
	s.sendSubscribe(sub)
}

func (s *state) at(ch channel.Name, offset message.Offset) {
	sub := s.current(ch)
	if sub == nil {
		return
	}
	sub.position = message.Position{Epoch: s.hello.Epoch, Offset: max(offset, sub.position.Offset)}
	sub.placed = true
	sub.OnLive(sub.position)
}

func (s *state) gap(o *protocol.Object) {
	sub := s.current(o.Channel)
	switch {
	case sub == nil:
		return
	case sub.placed && o.After > sub.position.Offset:
		s.missing(sub)
		return
	}
	sub.broken = 0
	sub.placed, sub.position = true, message.Position{Epoch: s.hello.Epoch, Offset: o.Offset}
	sub.processed = min(sub.processed, o.Offset)
	sub.acked = min(sub.acked, o.Offset)
	sub.OnGap(Gap{Channel: o.Channel, After: o.After, To: o.Offset, Epoch: s.hello.Epoch, Reason: o.Reason})
}

// note acknowledges, lazily, what was processed.
func (s *state) note(sub *subscription, offset message.Offset) {
	if !s.o.Manual {
		s.processed(sub, offset)
	}
}

func (s *state) processed(sub *subscription, offset message.Offset) {
	sub.processed = max(sub.processed, offset)
	sub.unacked++
	s.ackSoon()
	if s.hello != nil && sub.unacked >= max(1, s.hello.Window/2) {
		s.ackDue = time.Now()
	}
}

// ack is the application's word. Where it names what was not handed over, it is
// of another history, or a mistake.
func (s *state) ack(ch channel.Name, offset message.Offset) {
	sub := s.subs[ch]
	if sub != nil && sub.placed && offset <= sub.position.Offset {
		s.processed(sub, offset)
	}
}

// sendAcks says what was processed. A server ends the connection over a command that
// is too large for it, so many channels take several.
func (s *state) sendAcks() {
	s.ackDue = time.Time{}
	var marks []protocol.Mark
	send := func() {
		if len(marks) > 0 {
			s.link.send(&protocol.Command{Op: protocol.OpAck, Last: marks})
		}
	}
	size := 0
	for _, sub := range s.subs {
		if sub.request != 0 || sub.processed <= sub.acked {
			continue
		}
		if size += markSize(sub); size > protocol.CommandOverhead {
			send()
			marks, size = nil, markSize(sub)
		}
		marks = append(marks, protocol.Mark{Channel: sub.Channel, Offset: sub.processed})
		sub.acked, sub.unacked = sub.processed, 0
	}
	send()
}

// markSize is more than a mark of sub has in a command, in bytes.
func markSize(sub *subscription) int { return len(sub.Channel) + 24 }

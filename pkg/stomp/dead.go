package stomp

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A grave is a message that was refused too often, on its way to the channel of
// dead messages.
type grave struct {
	offset message.Offset
	times  int
	reason string // what the client said at last
}

// The headers that a dead message has beside its own.
const (
	deadDestination = "dead-destination"
	deadID          = "dead-message-id"
	deadReason      = "dead-reason"
)

// maxReason bounds what of a client's words is kept, in bytes.
const maxReason = 512

// copyOf returns the copy of m for the channel of dead messages, with where it comes
// from and why.
func (g *grave) copyOf(m *message.Message, epoch message.Epoch) message.Message {
	dead, _ := m.Channel.Dead()
	reason := fmt.Sprintf("refused %d times", g.times)
	if g.reason != "" {
		reason += ": " + strings.ToValidUTF8(g.reason[:min(len(g.reason), maxReason)], "")
	}
	headers := slices.DeleteFunc(slices.Clone(m.Headers), func(h message.Header) bool {
		return h.Name == deadDestination || h.Name == deadID || h.Name == deadReason
	})
	return message.Message{
		Channel: dead, Publisher: m.Publisher, ContentType: m.ContentType, Data: m.Data,
		Headers: append(headers,
			message.Header{Name: deadDestination, Value: string(m.Channel)},
			message.Header{Name: deadID, Value: string(appendID(nil, message.Position{Epoch: epoch, Offset: m.Offset}))},
			message.Header{Name: deadReason, Value: reason}),
	}
}

// fetch calls done, on the part's loop, with one message of a channel, or with nil
// if it is gone.
func (p *part) fetch(name channel.Name, offset message.Offset, done func(*message.Message, message.Epoch, error)) {
	b := p.server.broker
	after := message.Position{Epoch: b.Engine().Status().Epoch, Offset: offset - 1}
	b.Go(func() {
		batch, err := b.Read(context.Background(), name, after, engine.Limit{Messages: 1})
		p.loop.Post(func() {
			if err == nil && len(batch.Messages) == 1 && batch.Messages[0].Offset == offset {
				done(&batch.Messages[0], batch.Epoch, nil)
				return
			}
			done(nil, batch.Epoch, err)
		})
	})
}

// buryNext moves the next of the graves' messages, one at a time.
func (s *subscription) buryNext() {
	if s.burying || len(s.graves) == 0 {
		return
	}
	s.burying = true
	g, life := s.graves[0], s.life
	s.graves = s.graves[1:]
	s.conn.part.fetch(s.name, g.offset, func(m *message.Message, epoch message.Epoch, err error) {
		switch {
		case s.life != life:
		case err != nil || m == nil:
			s.buried(g, err)
		default:
			s.bury(g, g.copyOf(m, epoch))
		}
	})
}

// bury stores the copy; of a durable subscription, together with the acknowledgement.
func (s *subscription) bury(g grave, dead message.Message) {
	life := s.life
	done := func(err error) {
		if s.life == life {
			s.buried(g, err)
		}
	}
	if s.record != nil {
		s.record.exclusively(func() { s.record.save([]message.Message{dead}, g.offset, done) })
		return
	}
	loop := s.conn.part.loop
	s.conn.server().broker.Engine().Submit([]message.Message{dead}, func(_ []engine.Receipt, err error) {
		loop.Post(func() { done(err) })
	})
}

// buried goes on behind a message that was moved, or could not be: then it is sent
// again, and moved when it is refused once more.
func (s *subscription) buried(g grave, err error) {
	s.burying = false
	if d := s.window.at(g.offset); d != nil {
		if err == nil {
			s.settle(d)
			s.advance()
		} else {
			d.dying = false
			s.again = append(s.again, g.offset)
			s.conn.server().log.WithError(err).WithField("channel", s.name).WithField("offset", strconv.FormatUint(uint64(g.offset), 10)).
				Warn("a message that was refused too often could not be moved, and is sent again")
		}
	}
	s.buryNext()
	s.conn.resume()
}

package stomp

import (
	"context"
	"fmt"
	"slices"
	"strconv"

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
		reason += ": " + g.reason
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

// An undertaker moves the messages of one durable subscription or group that were refused too
// often, one at a time. It is owned by its part's loop.
type undertaker struct {
	part   *part
	name   channel.Name
	window *window
	record *record // where the acknowledgement is stored with the copy
	// buried is told that a message was moved or is gone, or could not be moved: then it
	// is to be sent again, and comes here when it is refused once more.
	buried func(offset message.Offset, err error)

	graves []grave
	busy   bool
	over   bool
}

// take has the message of a grave moved.
func (u *undertaker) take(g grave) {
	u.graves = append(u.graves, g)
	u.next()
}

// stop ends the work. What is just being stored still counts, but is not told.
func (u *undertaker) stop() { u.over, u.graves = true, nil }

func (u *undertaker) next() {
	if u.busy || len(u.graves) == 0 {
		return
	}
	u.busy = true
	g := u.graves[0]
	u.graves = u.graves[1:]
	u.part.fetch(u.name, g.offset, func(m *message.Message, epoch message.Epoch, err error) {
		switch {
		case u.over:
		case err != nil || m == nil:
			u.done(g, err)
		default:
			u.move(g, g.copyOf(m, epoch))
		}
	})
}

// move stores the copy together with the acknowledgement.
func (u *undertaker) move(g grave, dead message.Message) {
	exclusively([]*record{u.record}, func(ok bool) {
		if !ok {
			return
		}
		u.record.save([]message.Message{dead}, offsets{g.offset: true}, func(err error) {
			if err == nil {
				u.part.count.dead++
			}
			u.done(g, err)
		})
	})
}

func (u *undertaker) done(g grave, err error) {
	if u.over {
		if d := u.window.at(g.offset); d != nil && err == nil {
			u.window.settle(d) // for the record's last word
		}
		return
	}
	if err != nil && message.CodeOf(err) != message.RateLimited {
		u.part.server.log.WithError(err).WithField("channel", u.name).WithField("offset", strconv.FormatUint(uint64(g.offset), 10)).
			Warn("a message that was refused too often could not be moved, and is sent again")
	}
	u.busy = false
	u.buried(g.offset, err)
	u.next()
}

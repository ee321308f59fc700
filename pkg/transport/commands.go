package transport

import (
	"context"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/session"
)

var errFollowing = message.Errorf(message.BadRequest, "the channels of an EventSource stand in its URL")

func (x *exchange) subscribe(c *protocol.Command) {
	if x.session.Following() {
		x.fail(c.ID, errFollowing)
		return
	}
	start := session.Start{After: c.Position(), Given: c.HasAfter}
	x.busy = true
	x.session.Subscribe(c.Channel, start, func(result session.Result) {
		x.done(func() { x.subscribed(c, result) })
	})
}

func (x *exchange) subscribed(c *protocol.Command, result session.Result) {
	if result.Err != nil {
		x.fail(c.ID, result.Err)
		return
	}
	epoch := x.server().broker.Engine().Status().Epoch
	x.carrier.object(eventReply, func(dst []byte) []byte { return protocol.AppendSubscribed(dst, c.ID, result.Offset, epoch) })
	x.session.StartOne(c.Channel)
}

func (x *exchange) unsubscribe(c *protocol.Command) {
	if x.session.Following() {
		x.fail(c.ID, errFollowing)
		return
	}
	x.busy = true
	x.session.Unsubscribe(c.Channel, func(err error) {
		x.done(func() {
			if err != nil {
				x.fail(c.ID, err)
				return
			}
			x.carrier.object(eventReply, func(dst []byte) []byte { return protocol.AppendDone(dst, c.ID) })
		})
	})
}

func (x *exchange) publish(id uint64, m message.Message) {
	x.publishing++
	p := x.carrier.home()
	p.one[0] = m
	p.server.broker.Publish(x.session.Who(), p.one[:], func(receipts []engine.Receipt, err error) {
		p.loop.Post(func() { x.published(id, receipts, err) })
	})
	p.one[0] = message.Message{} // or what was published would be kept alive
}

func (x *exchange) published(id uint64, receipts []engine.Receipt, err error) {
	x.publishing--
	if x.closed {
		return
	}
	if err != nil {
		x.fail(id, err)
		x.chargeRefused(err)
	} else {
		epoch := x.server().broker.Engine().Status().Epoch
		x.carrier.object(eventReply, func(dst []byte) []byte {
			return protocol.AppendPublished(dst, id, receipts[0].Offset, epoch, receipts[0].Duplicate)
		})
	}
	if x.publishing == 0 || x.publishing == maxPublishing-1 {
		x.drains = x.drains && x.publishing > 0
		x.proceed()
	}
}

func (x *exchange) ack(c *protocol.Command) {
	if x.session == nil {
		return
	}
	for _, m := range c.Last {
		if err := x.session.Ack(m.Channel, m.Offset); err != nil {
			x.fail(0, err)
			x.slowed = x.slowed || x.carrier.Blocked() // who does not read it is told no more of that in this tick
		}
	}
}

func (x *exchange) history(c *protocol.Command) {
	if x.carrier.full() {
		x.fail(c.ID, errFull)
		return
	}
	limit := c.Limit
	if limit == 0 {
		limit = protocol.DefaultHistory
	}
	who := x.session.Who()
	x.elsewhere(x.server().broker.Go, func() func() {
		b, err := x.server().broker.History(context.Background(), who, c.Channel, c.Before, limit)
		return func() {
			if err == nil { // the right may have gone meanwhile
				err = x.server().broker.May(x.session.Who(), acl.Subscribe, c.Channel)
			}
			if err != nil {
				x.fail(c.ID, err)
				return
			}
			x.carrier.object(eventReply, func(dst []byte) []byte {
				return protocol.AppendHistory(dst, c.ID, b.Epoch, b.Messages, b.More)
			})
		}
	})
}

func (x *exchange) auth(c *protocol.Command) {
	if x.session.Who().Beside(c.App) >= protocol.MaxAuth {
		x.fail(c.ID, message.Errorf(message.TooLarge, "this connection has identities for %d applications, and may have no more", protocol.MaxAuth))
		return
	}
	asOf := x.rechecks()
	x.elsewhere(x.server().broker.Ask, func() func() {
		id, err := x.server().broker.Authenticate(context.Background(), auth.Credentials{Token: c.Token, App: c.App})
		return func() {
			switch {
			case asOf != x.rechecks():
				x.auth(c)
			case err != nil:
				x.fail(c.ID, err)
			default:
				x.session.Become(x.session.Who().With(c.App, id))
				x.carrier.object(eventReply, func(dst []byte) []byte { return protocol.AppendAuthenticated(dst, c.ID, id.User) })
			}
		}
	})
}

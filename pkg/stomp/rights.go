package stomp

import (
	"context"

	"github.com/orbitd/orbitd/pkg/acl"
)

// recheck looks up who the client is by now and judges its subscriptions. done is
// called on the loop when no more is delivered than is allowed.
func (c *conn) recheck(done func()) {
	b, who := c.server().broker, c.who
	b.Ask(func() {
		now, err := b.Refresh(context.Background(), who)
		c.part.loop.Post(func() {
			if !c.closed && c.who != who { // another look has come to its end: ours may be older
				c.recheck(done)
				return
			}
			defer done()
			switch {
			case c.closed:
			case err != nil:
				c.fail(err, nil)
			default:
				c.who = now
				c.judge()
			}
		})
	})
}

// judge ends the connection if one of its subscriptions is not allowed any more:
// STOMP has no other way to say so.
func (c *conn) judge() {
	for _, s := range c.subs.all {
		if err := c.server().broker.May(c.who, acl.Subscribe, s.name); err != nil {
			c.fail(err, nil)
			return
		}
	}
}

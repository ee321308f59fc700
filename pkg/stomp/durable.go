package stomp

import (
	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// maxName bounds client-id and what names a durable subscription, in bytes.
const maxName = 255

// durable returns what names the durable subscription that a frame is about, if it
// is about one. RabbitMQ knows durable and its older name persistent, and
// auto-delete, which takes it back; ActiveMQ knows a name beside the id.
func durable(f *frame.Frame, key string) (name string, ok bool) {
	if name := f.Text("activemq.subscriptionName"); name != "" {
		return name, true
	}
	yes := f.Text("durable") == "true" || f.Text("persistent") == "true"
	return key, yes && f.Text("auto-delete") != "true"
}

// newRecord returns the record of a durable subscription. What it is called belongs
// to its user.
func (c *conn) newRecord(owner recordOwner, name string, ch channel.Name) (*record, error) {
	realm, user := c.who.Owner()
	switch {
	case user == "":
		return nil, message.Errorf(message.Unauthorized, "a durable subscription belongs to a user; log in first")
	case len(name) > maxName || len(c.client) > maxName:
		return nil, message.Errorf(message.BadRequest, "client-id and the name of a durable subscription have at most %d bytes", maxName)
	}
	return &record{
		part: c.part, owner: owner, kind: durableKind, channel: ch, name: name,
		session: engine.Session{
			Key: recordKey(durableKind, realm, user, c.client, name), Realm: realm, User: user,
			Name: c.client + "/" + name, TTL: c.server().limits.DurableTTL,
		},
	}, nil
}

// takeUp begins a durable subscription: where it stands, or, if it is new, at start.
// All other frames wait until that is stored. What s may not have is refused before
// whoever has it is displaced.
func (c *conn) takeUp(s *subscription, start message.Position, given bool, receipt *string) {
	c.busy = true
	r := s.record
	// fits calls then with what is stored, if s may have it.
	fits := func(then func(stored *engine.Session)) lookedUp {
		return func(stored engine.Session, found bool, err error) {
			if r.released {
				return
			}
			if err == nil {
				err = s.mayHave(&stored, found)
			}
			switch {
			case err != nil:
				c.failTo(err, receipt)
			case found:
				then(&stored)
			default:
				then(nil)
			}
		}
	}
	r.lookUp(fits(func(*engine.Session) {
		err := r.claim(func() {
			r.load(fits(func(stored *engine.Session) {
				if stored != nil {
					start, given = s.window.restore(&stored.Subscriptions[0], c.server().broker.Engine().Status().Visible), true
				}
				s.join(start, given)
				r.loaded = true
				r.save(nil, nil, func(err error) { c.begun(s, receipt, err) })
			}))
		})
		if err != nil {
			c.failTo(err, receipt)
		}
	}))
}

// mayHave returns why s may not be what is stored, if anything is.
func (s *subscription) mayHave(stored *engine.Session, found bool) error {
	if found && stored.Subscriptions[0].Channel != s.name {
		return s.record.conflict(stored.Subscriptions[0].Channel)
	}
	return s.conn.server().broker.May(s.conn.who, acl.Subscribe, s.name) // rights may have changed since SUBSCRIBE
}

// begun begins to send on a subscription whose beginning is stored, or could not be.
func (c *conn) begun(s *subscription, receipt *string, err error) {
	if c.closed {
		return
	}
	c.busy = false
	if err != nil {
		c.failTo(err, receipt)
		return
	}
	c.answer(receipt)
	s.begin()
	c.proceed()
}

// stored is recordOwner's.
func (s *subscription) stored(gone offsets, last bool) engine.Subscription {
	at := message.Position{Epoch: s.epoch, Offset: s.Sent}
	if s.mode == auto {
		at.Offset = s.taken
	}
	if s.gap != nil {
		at.Offset = min(at.Offset, s.gapFrom)
	}
	return engine.Subscription{
		Channel: s.name, ID: s.record.name, Cursor: s.window.cursor(at, gone), Options: s.window.appendOptions(nil, s.Sent, last, gone),
	}
}

// displaced is recordOwner's.
func (s *subscription) displaced() {
	s.conn.fail(message.Errorf(message.Conflict, "the durable subscription %.40q was taken up by another connection", s.record.name), nil)
}

// silent reports whether s is durable and acknowledges nothing.
func (s *subscription) silent() bool { return s.record != nil && s.mode == auto }

// flushed notes that the socket has taken all that was sent: of durable
// subscriptions that acknowledge nothing, that is what moves their place.
func (c *conn) flushed() {
	if c.silent == 0 {
		return
	}
	for _, s := range c.subs.all {
		if s.silent() && s.started && s.taken != s.Sent {
			s.taken = s.Sent
			s.record.changed(false)
		}
	}
}

// forget ends a durable subscription, whether or not it is on this connection, and
// says so when that is durable.
func (c *conn) forget(r *record, receipt *string) {
	dropped := c.dropping(receipt)
	if r.granted {
		r.drop(dropped)
		return
	}
	_ = r.claim(func() { // of whichever channel it is
		r.lookUp(func(_ engine.Session, found bool, err error) {
			if err != nil {
				r.release()
				dropped(err)
				return
			}
			r.loaded = found
			r.drop(dropped)
		})
	})
}

// dropping has all other frames wait, and returns what goes on when something stored
// was dropped, or could not be.
func (c *conn) dropping(receipt *string) func(error) {
	c.busy = true
	return func(err error) {
		switch {
		case c.closed:
		case err != nil:
			c.failTo(err, receipt)
		default:
			c.busy = false
			c.answer(receipt)
			c.resume()
			c.proceed()
		}
	}
}

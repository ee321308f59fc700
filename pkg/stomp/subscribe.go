package stomp

import (
	"strconv"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// subscribe begins a subscription.
func (c *conn) subscribe(f *frame.Frame) {
	s, err := c.newSubscription(f)
	if err != nil {
		c.fail(err, f)
		return
	}
	start, given := message.Position{}, false
	if text, ok := f.Get("after"); ok {
		if start, given = parseID(string(text)); !given {
			c.fail(message.Errorf(message.BadRequest, "after is the message-id of the last message that you have, or 0"), f)
			return
		}
	}
	if err := c.install(s); err != nil {
		c.fail(err, f)
		return
	}
	switch receipt := asked(f); {
	case s.share != nil:
		c.joinGroup(s, start, given, receipt)
	case s.record != nil:
		c.takeUp(s, start, given, receipt)
	default:
		s.join(start, given)
		c.answer(receipt)
		s.begin()
	}
}

// install makes s one of the connection's subscriptions, if there is a place in the
// application for the connection, as the broker counts them.
func (c *conn) install(s *subscription) error {
	if !c.subs.has(s.name) {
		if err := c.server().broker.Occupy(s.name, broker.NoPlace, broker.Connected); err != nil {
			return err
		}
	}
	c.subs.add(s)
	c.numbers++
	if s.silent() {
		c.silent++
	}
	return nil
}

// remove ends a subscription. With the last of an application, the place is given back.
func (c *conn) remove(s *subscription) {
	s.stop()
	c.subs.remove(s)
	if !c.subs.has(s.name) {
		_ = c.server().broker.Occupy(s.name, broker.Connected, broker.NoPlace) // less is never refused
	}
	if s.silent() {
		c.silent--
	}
}

// begin begins to send.
func (s *subscription) begin() {
	s.started = true
	s.pump()
}

// newSubscription reads a SUBSCRIBE.
func (c *conn) newSubscription(f *frame.Frame) (s *subscription, err error) {
	s = &subscription{conn: c, id: f.Text("id"), number: c.numbers, limit: c.server().limits.Window}
	if s.name, err = destination(f); err != nil {
		return nil, err
	}
	key, err := c.key(f, s.id)
	if err != nil {
		return nil, err
	}
	switch ack := f.Text("ack"); {
	case ack == "" || ack == "auto":
	case ack == "client":
		s.mode = cumulative
	case ack == "client-individual" && c.version() != frame.V10:
		s.mode = individual
	default:
		return nil, message.Errorf(message.BadRequest, "ack %.40q is none of auto, client and (from 1.1 on) client-individual", ack)
	}
	if text, ok := f.Get("prefetch-count"); ok {
		n, err := strconv.ParseUint(string(text), 10, 31)
		if err != nil || n == 0 {
			return nil, message.Errorf(message.BadRequest, "prefetch-count %.40q is not a number of messages", text)
		}
		s.limit = min(s.limit, int(n))
	}
	if f.Text("selector") != "" {
		return nil, message.Errorf(message.BadRequest, "this server has no subscriptions with a selector")
	}
	switch {
	case c.subs.byKey(key) != nil:
		return nil, message.Errorf(message.BadRequest, "the subscription %.40q is there already", key)
	case len(c.subs.all) >= c.server().limits.Subscriptions:
		return nil, message.Errorf(message.TooLarge, "the connection has %d subscriptions already (session.max_channels)", len(c.subs.all))
	}
	if s.mode == auto && c.socket == nil {
		s.prefix = s.appendOwn(nil, 0, false)
	}
	if err := c.server().broker.May(c.who, acl.Subscribe, s.name); err != nil {
		return nil, err
	}
	if group := f.Text("group"); group != "" {
		s.share, err = c.newShare(group, s.name, s.mode)
	} else if name, ok := durable(f, key); ok {
		s.record, err = c.newRecord(s, name, s.name)
	}
	return s, err
}

// key is what names a subscription on its connection: its id, in 1.0 also its
// destination.
func (s *subscription) key() string {
	if s.id != "" {
		return s.id
	}
	return string(s.name)
}

// key returns what a frame calls a subscription.
func (c *conn) key(f *frame.Frame, id string) (string, error) {
	switch {
	case id != "":
		return id, nil
	case c.version() != frame.V10:
		return "", message.Errorf(message.BadRequest, "%s needs an id", f.Command)
	}
	name, err := destination(f)
	return string(name), err
}

func (c *conn) unsubscribe(f *frame.Frame) {
	key, err := c.key(f, f.Text("id"))
	s := c.subs.byKey(key)
	name, ends := durable(f, key)
	var r *record
	switch {
	case err != nil:
	case s == nil && !ends:
		err = message.Errorf(message.BadRequest, "there is no subscription %.40q", key)
	case s != nil && s.share != nil:
	case s != nil && s.record != nil:
		r = s.record
	case ends:
		r, err = c.newRecord(nobody{}, name, "")
	}
	if err != nil {
		c.fail(err, f)
		return
	}
	switch {
	case !ends:
	case r == nil:
		c.forgetGroup(s, asked(f))
	default:
		c.forget(r, asked(f))
	}
	if s != nil {
		c.remove(s)
	}
	if !ends {
		c.receipt(f)
		c.resume()
	}
}

// resume goes on with what was held back by the window: all subscriptions share its
// bytes.
func (c *conn) resume() {
	for _, s := range c.subs.all {
		s.pump()
	}
}

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
	s, key, err := c.newSubscription(f)
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
	if err := c.install(s, key); err != nil {
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

// install makes s one of the connection's subscriptions.
func (c *conn) install(s *subscription, key string) error {
	if err := c.occupy(s); err != nil {
		return err
	}
	c.subs[key] = s
	c.numbered[s.number] = s
	c.numbers++
	if s.silent() {
		c.silent++
	}
	return nil
}

// begin begins to send.
func (s *subscription) begin() {
	s.started = true
	s.pump()
}

// newSubscription reads a SUBSCRIBE. key is what names the subscription: its id, in
// 1.0 also its destination.
func (c *conn) newSubscription(f *frame.Frame) (s *subscription, key string, err error) {
	s = &subscription{conn: c, id: f.Text("id"), number: c.numbers, limit: c.server().limits.Window}
	if s.name, err = destination(f); err != nil {
		return nil, "", err
	}
	if key, err = c.key(f, s.id); err != nil {
		return nil, "", err
	}
	switch ack := f.Text("ack"); {
	case ack == "" || ack == "auto":
	case ack == "client":
		s.mode = cumulative
	case ack == "client-individual" && c.version() != frame.V10:
		s.mode = individual
	default:
		return nil, "", message.Errorf(message.BadRequest, "ack %.40q is none of auto, client and (from 1.1 on) client-individual", ack)
	}
	if text, ok := f.Get("prefetch-count"); ok {
		n, err := strconv.ParseUint(string(text), 10, 31)
		if err != nil || n == 0 {
			return nil, "", message.Errorf(message.BadRequest, "prefetch-count %.40q is not a number of messages", text)
		}
		s.limit = min(s.limit, int(n))
	}
	if f.Text("selector") != "" {
		return nil, "", message.Errorf(message.BadRequest, "this server has no subscriptions with a selector")
	}
	switch _, taken := c.subs[key]; {
	case taken:
		return nil, "", message.Errorf(message.BadRequest, "the subscription %.40q is there already", key)
	case len(c.subs) >= c.server().limits.Subscriptions:
		return nil, "", message.Errorf(message.TooLarge, "the connection has %d subscriptions already (session.max_channels)", len(c.subs))
	}
	if s.mode == auto && c.socket == nil {
		s.prefix = s.appendOwn(nil, 0, false)
	}
	if err := c.server().broker.May(c.who, acl.Subscribe, s.name); err != nil {
		return nil, "", err
	}
	if group := f.Text("group"); group != "" {
		s.share, err = c.newShare(group, s.name, s.mode)
	} else if name, ok := durable(f, key); ok {
		s.record, err = c.newRecord(s, name, s.name)
	}
	return s, key, err
}

// occupy takes the connection's place in the application of a subscription, as the
// broker counts them, unless it has it.
func (c *conn) occupy(s *subscription) error {
	app := s.name.App()
	if c.places[app] == 0 {
		if err := c.server().broker.Occupy(s.name, broker.NoPlace, broker.Connected); err != nil {
			return err
		}
	}
	c.places[app]++
	return nil
}

// vacate gives the place back with the last subscription.
func (c *conn) vacate(s *subscription) {
	app := s.name.App()
	if c.places[app]--; c.places[app] == 0 {
		_ = c.server().broker.Occupy(s.name, broker.Connected, broker.NoPlace) // less is never refused
	}
}

// key returns what names a subscription in c.subs.
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
	s := c.subs[key]
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
		s.stop()
		c.vacate(s)
		delete(c.subs, key)
		delete(c.numbered, s.number)
		if s.silent() {
			c.silent--
		}
	}
	if !ends {
		c.receipt(f)
		c.resume()
	}
}

// resume goes on with what was held back by the window: all subscriptions share its
// bytes.
func (c *conn) resume() {
	for _, s := range c.numbered {
		s.pump()
	}
}

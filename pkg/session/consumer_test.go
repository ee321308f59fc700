package session_test

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A consumer is one logical client, over all its connections. model.mu guards
// c and what stands below it.
type consumer struct {
	m      *model
	number int
	q      session.Request // without secret

	id, secret string

	c    *client // nil: not connected
	gone bool    // the session said bye
	subs map[channel.Name]*standing
	// skipped are ranges in which there must have been no message, or none that
	// is still kept.
	skipped []skip
}

// A standing is where a consumer stands on a channel.
type standing struct {
	position message.Position // of the last message it has
	known    bool             // else it has forgotten, and takes what comes first
	acked    message.Offset   // what it has acknowledged: the cursor is not before
	bound    message.Offset   // nor is it behind this
}

type skip struct {
	ch       channel.Name
	from, to message.Offset
	expired  bool
}

// connect takes the consumer's session up, or a new one. A named one may have
// forgotten where it stands.
func (c *consumer) connect() {
	c.m.t.Helper()
	q := c.q
	if c.c == nil && q.Name == "" && c.m.rnd.IntN(4) > 0 {
		q.ID, q.Secret = c.id, c.secret
	}
	var marks []session.Mark
	c.m.mu.Lock()
	c.gone = false
	names := make([]channel.Name, 0, len(c.subs))
	for name := range c.subs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := c.subs[name]
		switch {
		case q.Name != "" && (!s.known || c.m.rnd.IntN(3) == 0):
			s.known = false
		default:
			marks = append(marks, session.Mark{Channel: name, After: s.position})
			if !q.Manual {
				s.bound = max(s.bound, s.position.Offset)
			}
		}
	}
	c.m.mu.Unlock()
	n := &client{r: c.m.rig}
	n.conn = &conn{heard: func(e event) { c.hear(n, e) }}
	n.opened = func() {
		c.m.mu.Lock()
		defer c.m.mu.Unlock()
		c.c = n
		c.reconcile(n.results)
	}
	must(c.m.t, n.open(c.m.rnd.IntN(2), q, marks...))
	c.id, c.secret = n.session.ID(), n.secret
}

// reconcile compares the reply's subscriptions with what the consumer has.
func (c *consumer) reconcile(results []session.Result) {
	there := map[channel.Name]bool{}
	for _, r := range results {
		there[r.Channel] = r.Err == nil
		if c.subs[r.Channel] == nil && r.Err == nil {
			c.m.fault("consumer %d got a subscription of %s that it does not have", c.number, r.Channel)
		}
	}
	for name, s := range c.subs {
		switch {
		case there[name]:
		case c.m.barred[name]:
			delete(c.subs, name)
		default:
			c.m.fault("consumer %d has lost %s at %v", c.number, name, s.position)
		}
	}
}

func (c *consumer) disconnect() {
	c.c.detach()
	c.c = nil
}

// act does something with a subscription, or with the connection.
func (c *consumer) act() {
	if c.c == nil {
		return
	}
	if c.gone {
		c.c = nil
		return
	}
	name := modelChannels[c.m.rnd.IntN(len(modelChannels))]
	switch c.m.rnd.IntN(6) {
	case 0, 1, 2:
		c.subscribe(name)
	case 3:
		c.unsubscribe(name)
	default:
		c.c.do(func(s *session.Session) {
			if c.c.conn.blocked = !c.c.conn.blocked; !c.c.conn.blocked {
				s.Writable()
			}
		})
	}
}

// subscribe begins now, from the oldest, or once more where it stands.
func (c *consumer) subscribe(name channel.Name) {
	c.m.t.Helper()
	began := make(chan struct{})
	how := c.m.rnd.IntN(3)
	c.c.do(func(s *session.Session) {
		start := session.Start{Given: how > 0}
		c.m.mu.Lock()
		if sub := c.subs[name]; sub != nil && sub.known {
			start.After, start.Given = sub.position, true
		}
		c.m.mu.Unlock() // others may hear what waited for room
		s.Subscribe(name, start, func(result session.Result) {
			defer close(began)
			c.m.mu.Lock()
			switch {
			case c.m.barred[name] != (result.Err != nil):
				c.m.fault("consumer %d: subscribe to %s: %v", c.number, name, result.Err)
			case result.Err == nil:
				c.stands(name, start, result.Offset)
			}
			c.m.mu.Unlock()
			if result.Err == nil {
				s.StartOne(name)
			}
		})
	})
	<-began
}

// stands notes where a subscription was begun.
func (c *consumer) stands(name channel.Name, start session.Start, now message.Offset) {
	s := c.subs[name]
	fresh := s == nil
	if fresh {
		s = &standing{}
		c.subs[name] = s
	}
	s.known = true
	if start.Given {
		s.position = start.After
	} else {
		s.position = c.m.at(now)
	}
	if !start.Given || fresh || !c.q.Manual {
		s.bound = max(s.bound, s.position.Offset)
	}
}

func (c *consumer) unsubscribe(name channel.Name) {
	ended := make(chan error, 1)
	c.c.do(func(s *session.Session) {
		s.Unsubscribe(name, func(err error) {
			c.m.mu.Lock()
			delete(c.subs, name)
			c.m.mu.Unlock()
			ended <- err
		})
	})
	must(c.m.t, <-ended)
}

// ackSome acknowledges something of what it has.
func (c *consumer) ackSome() {
	if c.c == nil {
		return
	}
	c.c.do(func(s *session.Session) {
		c.m.mu.Lock()
		defer c.m.mu.Unlock()
		for name, sub := range c.subs {
			if !sub.known || c.gone {
				continue
			}
			offset := sub.position.Offset
			if c.m.rnd.IntN(3) == 0 {
				offset -= min(offset, message.Offset(c.m.rnd.IntN(5)))
			}
			sub.acked, sub.bound = max(sub.acked, offset), max(sub.bound, offset)
			c.m.mu.Unlock() // for what the ack lets through
			err := s.Ack(name, offset)
			c.m.mu.Lock()
			if err != nil {
				c.m.fault("consumer %d: ack of %s up to %d: %v", c.number, name, offset, err)
			}
			break
		}
	})
}

// hear is the client's rule, with complaints.
func (c *consumer) hear(n *client, e event) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if e.kind == "bye" {
		c.gone = true
		c.m.fault("consumer %d: %v", c.number, e)
		return
	}
	s := c.subs[e.ch]
	switch {
	case c.c != n:
		c.m.fault("consumer %d hears %v on an earlier connection", c.number, e)
	case s == nil:
		c.m.fault("consumer %d hears %v and is not subscribed", c.number, e)
	case e.kind == "revoked":
		delete(c.subs, e.ch)
	case c.m.barred[e.ch]:
		c.m.fault("consumer %d hears %v after that was forbidden", c.number, e)
	case e.kind == "message":
		c.message(s, e)
	case e.kind == "at":
		c.skips(s, e, false)
	case e.kind == "gap" && e.why == string(engine.Expired):
		c.skips(s, e, true)
		s.bound = max(s.bound, e.offset)
	default:
		c.m.fault("consumer %d: %v", c.number, e)
	}
}

func (c *consumer) message(s *standing, e event) {
	switch {
	case !s.known:
		// A cursor at 0 says "from the oldest that is kept".
		if e.previous > s.bound && s.acked > 0 {
			c.m.fault("consumer %d: %v after %d, and its cursor is not beyond %d", c.number, e, e.previous, s.bound)
		}
	case s.position.Offset == 0: // from the oldest that is kept
	case e.previous > s.position.Offset:
		c.m.fault("consumer %d at %d lacks %d before %v", c.number, s.position.Offset, e.previous, e)
	case e.offset <= s.position.Offset:
		c.m.fault("consumer %d at %d hears %v again", c.number, s.position.Offset, e)
	}
	s.position, s.known = c.m.at(e.offset), true
}

// skips notes that the consumer's position moves without a message.
func (c *consumer) skips(s *standing, e event, expired bool) {
	from := s.position.Offset
	if !s.known {
		from = s.bound
	}
	if s.known && e.offset < from {
		c.m.fault("consumer %d at %d is moved back by %v", c.number, from, e)
	}
	if from > 0 {
		c.skipped = append(c.skipped, skip{e.ch, from, e.offset, expired})
	}
	s.position, s.known = c.m.at(e.offset), true
}

func (c *consumer) ackAll() {
	c.c.do(func(s *session.Session) {
		c.m.mu.Lock()
		at := map[channel.Name]message.Offset{}
		for name, sub := range c.subs {
			if sub.known {
				at[name] = sub.position.Offset
				sub.acked, sub.bound = max(sub.acked, at[name]), max(sub.bound, at[name])
			}
		}
		c.m.mu.Unlock()
		for name, offset := range at {
			must(c.m.t, s.Ack(name, offset))
		}
	})
}

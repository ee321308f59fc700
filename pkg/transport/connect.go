package transport

import (
	"context"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/session"
)

func (x *exchange) connect(c *protocol.Command) {
	if x.session != nil {
		x.fail(c.ID, message.Errorf(message.BadRequest, "this connection has a session already"))
		return
	}
	brings := auth.Credentials{Token: c.Token}
	if c.Token == "" && x.arrival.brings != nil {
		brings = *x.arrival.brings
	}
	proven := x.arrival.who == nil && brings.Empty() || x.arrival.who != nil && c.Token == "" && x.arrival.asOf == x.rechecks()
	if proven && len(c.Auth) == 0 {
		x.open(c)
		return
	}
	asOf := x.rechecks()
	x.elsewhere(x.server().broker.Ask, func() func() {
		who, err := x.authenticate(brings, c.Auth)
		return func() {
			if err != nil {
				x.refuse(c.ID, err)
				return
			}
			x.arrival.who, x.arrival.asOf = who, asOf
			x.open(c)
		}
	})
}

// rechecks counts the reloads. What was proven before the last one, and had not
// come to the session when that looked, has to be proven again.
func (x *exchange) rechecks() uint64 { return x.carrier.home().sessions.Manager().Rechecks() }

// authenticate proves all identities that a connect brings, by itself or with its
// request. It may block.
func (x *exchange) authenticate(brings auth.Credentials, apps []protocol.Auth) (*broker.Who, error) {
	ctx := context.Background()
	id, err := x.server().broker.Authenticate(ctx, brings)
	if err != nil {
		return nil, err
	}
	who := broker.NewWho(id)
	for _, a := range apps {
		id, err := x.server().broker.Authenticate(ctx, auth.Credentials{Token: a.Token, App: a.App})
		if err != nil {
			return nil, err
		}
		who = who.With(a.App, id)
	}
	return who, nil
}

// open finds the session that the client asks for, and goes to where it lives.
func (x *exchange) open(c *protocol.Command) {
	request := session.Request{Who: x.arrival.who.On(x.arrival.page), ID: c.Session, Secret: c.Secret, Name: c.Client, Manual: c.Manual}
	x.busy = true
	x.carrier.home().sessions.Open(request, func(s *session.Session, err error) {
		if x.closed {
			return
		}
		if err != nil {
			x.done(func() { x.refuse(c.ID, err) })
			return
		}
		attach := func() { x.attach(c, request, s) }
		if s.Part() == x.carrier.home().sessions {
			attach()
			return
		}
		x.carrier.move(x.server().parts[s.Part().Index()], attach)
	})
}

// attach takes the session up, or a new one if the client may not have it, and
// answers when that is durable.
func (x *exchange) attach(c *protocol.Command, r session.Request, s *session.Session) {
	if x.arrival.who != nil && x.arrival.asOf != x.rechecks() {
		x.connect(c)
		return
	}
	secret, resumed, ok := s.Attach(x.carrier, r)
	switch {
	case !ok && r.Name != "":
		x.open(c) // it has ended just now: there is another by its name
		return
	case !ok:
		var err error
		if s, err = x.carrier.home().sessions.Create(r); err != nil {
			x.done(func() { x.refuse(c.ID, err) })
			return
		}
		secret, resumed, _ = s.Attach(x.carrier, r)
	}
	x.session, x.arrival = s, nil
	results, err := s.Resume(marks(c))
	if err != nil {
		x.refuse(c.ID, err)
		return
	}
	s.Save(func(err error) {
		x.done(func() {
			if err != nil {
				x.refuse(c.ID, err)
				return
			}
			s.Confirm(results)
			x.connected(c, secret, resumed, results)
			s.Start()
		})
	})
}

func marks(c *protocol.Command) []session.Mark {
	marks := make([]session.Mark, len(c.Last))
	for i, m := range c.Last {
		marks[i] = session.Mark{Channel: m.Channel, After: message.Position{Epoch: c.Epoch, Offset: m.Offset}}
	}
	return marks
}

func (x *exchange) connected(c *protocol.Command, secret string, resumed bool, results []session.Result) {
	limits := x.carrier.home().sessions.Manager().Limits()
	_, user := x.session.Who().Owner()
	status := x.server().broker.Engine().Status()
	reply := protocol.Connected{
		Session: x.session.ID(), Secret: secret, Resumed: resumed,
		Epoch: status.Epoch, Now: status.Time, User: user,
		TTL: x.session.TTL(), Ping: x.server().limits.Ping, Window: limits.Window, Max: x.server().broker.MaxMessage(),
	}
	for _, r := range results {
		sub := protocol.Sub{Channel: r.Channel, Offset: r.Offset}
		if r.Err != nil {
			sub.Err = message.AsError(r.Err)
		}
		reply.Subs = append(reply.Subs, sub)
	}
	x.carrier.connected(c, &reply)
}

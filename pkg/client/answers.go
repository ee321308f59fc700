package client

import (
	"errors"
	"time"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// frame handles one message of the server.
func (s *state) frame(f frame) *ending {
	s.heard, s.pinged = time.Now(), false
	switch f.op {
	case ws.OpPing:
		s.link.queue(ws.OpPong, f.data)
		return nil
	case ws.OpPong:
		return nil
	}
	for line := range protocol.Lines(f.data) {
		o, err := protocol.Parse(line)
		if err != nil {
			return again(err)
		}
		if end := s.object(&o); end != nil {
			return end
		}
	}
	return nil
}

func (s *state) object(o *protocol.Object) *ending {
	switch o.Kind {
	case protocol.KindMessage:
		s.message(&o.Message, o.Redelivered)
	case protocol.KindAt:
		s.at(o.Channel, o.Offset)
	case protocol.KindGap:
		s.gap(o)
	case protocol.KindRevoked:
		if sub := s.current(o.Channel); sub != nil {
			s.end(sub, o.Err)
		}
		if o.Err.Code == message.Unauthorized {
			s.identities.forget(o.Channel.App())
		}
	case protocol.KindPing:
		s.link.send(&protocol.Command{Op: protocol.OpPong})
	case protocol.KindBye:
		return s.bye(o)
	case protocol.KindPong, protocol.KindOther:
	default:
		return s.reply(o)
	}
	return nil
}

func (s *state) reply(o *protocol.Object) *ending {
	switch {
	case o.Re == 0 && o.Err != nil:
		s.log.WithError(o.Err).Warn("the server refused a command")
		return nil
	case o.Re == s.helloID && s.hello == nil && s.refusal == nil:
		return s.connected(o)
	case o.Err != nil && o.Err.Code == message.SessionExpired:
		s.session, s.secret = "", ""
		return &ending{err: o.Err, delay: time.Millisecond}
	}
	if app, is := s.identities.asked[o.Re]; is {
		return s.proved(app, o)
	}
	if p := s.pubs.byID[o.Re]; p != nil {
		s.published(p, o)
		return nil
	}
	if c := s.calls.byID[o.Re]; c != nil {
		s.answered(c, o)
		return nil
	}
	for _, sub := range s.subs {
		if sub.request == o.Re {
			s.subscribed(sub, o)
			return nil
		}
	}
	return nil // to an unsubscribe, or to what was replaced since
}

// connected takes the answer to the connect: the session, and what became of
// each of its subscriptions.
func (s *state) connected(o *protocol.Object) *ending {
	switch {
	case o.Err != nil:
		return s.refused(o.Err)
	case o.Connected == nil:
		return again(errors.New("the server's answer to connect has no session"))
	case s.identities.doubt != nil:
		return s.proveIdentities()
	}
	// What was asked for until now is wanted: a named session's subscriptions that
	// are not end below.
	s.inbox.serve(s)
	h := o.Connected
	s.hello, s.session, s.secret = h, h.Session, h.Secret
	s.attempt, s.refusals, s.identities.checked = 0, 0, false
	s.clock = time.Until(time.UnixMilli(h.Now))
	s.o.OnState(State{Connected: true, User: h.User, Resumed: h.Resumed})
	s.resumed(h.Subs)
	return nil
}

// refused handles a refused connect. Where it brought identities for applications, it is
// first found out whether these were it. A refused token is replaced, once in a row.
func (s *state) refused(e *message.Error) *ending {
	i := &s.identities
	switch {
	case e.Code == message.Unauthorized && len(i.all) > 0 && i.doubt == nil && !i.checked:
		i.doubt = e
		return &ending{err: e, delay: time.Millisecond}
	case e.Code == message.Unauthorized && s.refusals == 0 && s.token != "":
		s.refusals++
		s.haveAsk = false
		return again(e)
	case e.Code == message.SessionExpired:
		s.session, s.secret = "", ""
		return again(e)
	case definite(e.Code):
		return final(e)
	}
	s.refusal = e // the server's bye says when to come back
	return nil
}

func (s *state) bye(o *protocol.Object) *ending {
	if s.refusal != nil {
		return &ending{err: s.refusal, delay: o.Retry}
	}
	e := &ByeError{o.Code}
	switch {
	case o.Retry > 0:
		s.attempt = 0
		return &ending{err: e, delay: o.Retry}
	case o.Code == protocol.ByeDisplaced && s.o.Client == "", o.Code == message.SessionExpired:
		// Another connection has the session: open one of our own.
		s.session, s.secret = "", ""
		return again(e)
	case o.Code == message.Unauthorized && s.hello != nil && s.token != "":
		s.haveAsk = false // it was good; now it has expired
		return again(e)
	}
	return final(e)
}

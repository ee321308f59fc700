package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gobwas/ws"
	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// state is all that a client knows. Run's goroutine owns it.
type state struct {
	o     *Options
	log   logrus.FieldLogger
	inbox *inbox

	// What outlives connections.
	subs       map[channel.Name]*subscription
	pubs       publications
	calls      calls
	identities identities
	session    string
	secret     string
	token      string
	haveAsk    bool // token was asked for and not refused since
	refusals   int  // of tokens, in a row
	attempt    int  // failed connections in a row
	lastID     uint64

	// One connection's own; link is nil between connections, hello until the
	// server has answered the connect.
	link    *link
	hello   *protocol.Connected
	helloID uint64
	refusal *message.Error // of the connect, of which the bye is not there yet
	clock   time.Duration  // the server's clock minus ours
	heard   time.Time      // when something came last
	pinged  bool           // since then
	ackDue  time.Time      // when acks are to be sent; zero: there are none
	retryAt time.Time      // when a refused subscription is tried again; zero: none
}

func newState(c *Client) *state {
	return &state{
		o:          &c.o,
		log:        c.o.Logger,
		inbox:      c.inbox,
		subs:       map[channel.Name]*subscription{},
		pubs:       publications{byID: map[uint64]*publication{}},
		calls:      calls{byID: map[uint64]*call{}},
		identities: identities{all: slices.Clone(c.o.Auth)},
	}
}

// An ending says why a connection is over and what follows.
type ending struct {
	err   error
	final bool          // do not come back
	delay time.Duration // before coming back; 0: by backoff
}

func again(err error) *ending { return &ending{err: err} }
func final(err error) *ending { return &ending{err: err, final: true} }

// run is one connection after the other.
func (s *state) run(ctx context.Context) error {
	for {
		end := s.connection(ctx)
		s.disconnected()
		if ctx.Err() != nil {
			s.o.OnState(State{Err: ctx.Err()})
			return ctx.Err()
		}
		if end.final {
			s.o.OnState(State{Err: end.err})
			return end.err
		}
		delay := end.delay
		if delay == 0 {
			delay = s.o.Backoff(s.attempt)
			s.attempt++
		}
		s.log.WithError(end.err).WithField("retry", delay).Debug("connection ended")
		s.o.OnState(State{Err: end.err, Retry: delay})
		if err := s.wait(ctx, delay); err != nil {
			return err
		}
	}
}

// connection is the life of one connection.
func (s *state) connection(ctx context.Context) *ending {
	if end := s.authenticate(ctx); end != nil {
		return end
	}
	l, err := dial(ctx, s.o)
	if err != nil {
		return dialEnding(err)
	}
	defer l.close()
	s.link, s.heard, s.pinged = l, time.Now(), false
	s.inbox.serve(s)
	s.sendConnect()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.sendDue(time.Now())
		if err := l.flush(); err != nil {
			return again(fmt.Errorf("write to the server: %w", err))
		}
		timer.Reset(time.Until(s.deadline()))
		select {
		case f := <-l.in:
			if end := s.frame(f); end != nil {
				return end
			}
		case <-l.done:
			return s.readEnding(l.err)
		case <-s.inbox.wake:
			s.inbox.serve(s)
		case <-timer.C:
			if end := s.checkLife(time.Now()); end != nil {
				return end
			}
		case <-ctx.Done():
			s.lastAcks()
			l.farewell()
			return final(ctx.Err())
		}
	}
}

// lastAcks says what was processed, before the client goes.
func (s *state) lastAcks() {
	s.inbox.serve(s)
	if s.hello != nil {
		s.sendAcks()
	}
}

// dialEnding tells a refusal from a server that is not there.
func dialEnding(err error) *ending {
	status, ok := errors.AsType[ws.StatusError](err)
	switch {
	case !ok || status < 400 || status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
		return again(err)
	case status == http.StatusNotFound:
		return final(fmt.Errorf("%w; is that the URL of an orbitd?", err))
	case status == http.StatusMisdirectedRequest:
		return final(fmt.Errorf("%w; the server does not know itself by that name: add it to its server.hosts", err))
	}
	return final(err)
}

// readEnding names what ended the reading side.
func (s *state) readEnding(err error) *ending {
	if s.refusal != nil {
		return again(s.refusal)
	}
	if closed, ok := errors.AsType[*CloseError](err); ok {
		return again(closed)
	}
	return again(fmt.Errorf("read from the server: %w", err))
}

// authenticate asks for a token if there is none that is good.
func (s *state) authenticate(ctx context.Context) *ending {
	if s.haveAsk {
		return nil
	}
	token, err := s.o.Token(ctx)
	if err != nil {
		if e, ok := errors.AsType[*message.Error](err); ok && definite(e.Code) {
			return final(err)
		}
		return again(err)
	}
	s.token, s.haveAsk = token, true
	return nil
}

// definite reports whether an answer does not change by trying again.
func definite(code message.Code) bool {
	switch code {
	case message.Unavailable, message.Unknown, message.Internal, message.RateLimited:
		return false
	}
	return true
}

// disconnected forgets what was the connection's own.
func (s *state) disconnected() {
	s.link, s.hello, s.refusal = nil, nil, nil
	s.ackDue, s.retryAt = time.Time{}, time.Time{}
	for _, sub := range s.subs {
		sub.request, sub.unacked, sub.retry, sub.broken = 0, 0, false, 0
	}
	s.pubs.unsend()
	s.calls.unsend()
	s.identities.asked = nil
}

// abandon answers all that waits, at the end.
func (s *state) abandon() {
	for _, p := range s.pubs.queue {
		if p.tried {
			p.done(Receipt{}, ErrClosed)
		} else {
			p.done(Receipt{}, ErrNotSent)
		}
	}
	s.pubs.queue = nil
	for _, c := range s.calls.queue {
		c.done(nil, ErrClosed)
	}
	s.calls.queue = nil
}

func (s *state) id() uint64 {
	s.lastID++
	return s.lastID
}

// sendConnect opens the session, or takes it up where every subscription
// stands. Positions of another epoch than the first one's follow by subscribe.
func (s *state) sendConnect() {
	s.helloID = s.id()
	if s.identities.doubt != nil {
		s.link.send(&protocol.Command{Op: protocol.OpConnect, ID: s.helloID, Token: s.token})
		return
	}
	c := protocol.Command{
		Op: protocol.OpConnect, ID: s.helloID, Token: s.token, Auth: s.identities.all, Manual: s.o.Manual,
		Client: s.o.Client, Session: s.session, Secret: s.secret,
	}
	size := len(protocol.AppendCommand(nil, &c))
	for _, sub := range s.subs {
		if !sub.placed {
			continue
		}
		if c.Epoch == 0 && sub.position.Offset != 0 {
			c.Epoch = sub.position.Epoch
		}
		size += markSize(sub)
		sub.named = (sub.position.Offset == 0 || sub.position.Epoch == c.Epoch) && size < protocol.CommandOverhead
		if sub.named {
			c.Last = append(c.Last, protocol.Mark{Channel: sub.Channel, Offset: sub.position.Offset})
		}
	}
	s.link.send(&c)
}

package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// A Page is a stretch of a channel's past, oldest first. More says that there
// are older messages: below the first one's offset.
type Page struct {
	Messages []message.Message
	Epoch    message.Epoch
	More     bool
}

// History returns the newest messages of ch below an offset (0: of all), at most
// limit (0: as many as the server gives). It needs no subscription and moves
// none. The answer may come over a later connection; an error is the server's, a
// *message.Error, that of ctx, or ErrClosed.
func (c *Client) History(ctx context.Context, ch channel.Name, before message.Offset, limit int) (Page, error) {
	o, err := c.call(ctx, protocol.Command{Op: protocol.OpHistory, Channel: ch, Before: before, Limit: limit}, protocol.KindHistory)
	if err != nil {
		return Page{}, err
	}
	return Page{o.Messages, o.Epoch, o.More}, nil
}

// Auth adds an identity for one application, on this connection and those that
// follow: below /app the client is now the token's user, whose name it returns.
// Subscriptions that were refused before are not tried again by themselves. Where the
// server believes the token no more, as when its time is over, the client goes on
// without it, and what it may not have then ends by OnEnd: get another token and
// call this again. The errors are those of History.
func (c *Client) Auth(ctx context.Context, app, token string) (user string, err error) {
	o, err := c.call(ctx, protocol.Command{Op: protocol.OpAuth, App: app, Token: token}, protocol.KindUser)
	if err != nil {
		return "", err
	}
	return o.User, nil
}

// call sends a command that may be sent again, and waits for its answer.
func (c *Client) call(ctx context.Context, command protocol.Command, want protocol.Kind) (*protocol.Object, error) {
	type answer struct {
		object *protocol.Object
		err    error
	}
	answered := make(chan answer, 1)
	asked := &call{command: command, want: want, done: func(o *protocol.Object, err error) { answered <- answer{o, err} }}
	if err := c.inbox.put(func(s *state) { s.calls.queue = append(s.calls.queue, asked) }); err != nil {
		return nil, err
	}
	select {
	case a := <-answered:
		return a.object, a.err
	case <-ctx.Done():
		// Nobody waits for it any more; after the end it is gone anyway.
		_ = c.inbox.put(func(s *state) { s.calls.remove(asked) })
		return nil, ctx.Err()
	}
}

// calls are the commands that wait for an answer; their callers bound how many.
type calls struct {
	queue []*call
	byID  map[uint64]*call // those that are sent
}

// A call is a command and the way to its answer.
type call struct {
	command protocol.Command
	want    protocol.Kind
	sent    bool
	done    func(*protocol.Object, error)
}

func (q *calls) remove(c *call) {
	q.queue = slices.DeleteFunc(q.queue, func(other *call) bool { return other == c })
	delete(q.byID, c.command.ID)
}

// unsend marks everything as not sent: the connection is gone.
func (q *calls) unsend() {
	clear(q.byID)
	for _, c := range q.queue {
		c.sent = false
	}
}

func (s *state) sendCalls() {
	for _, c := range s.calls.queue {
		if c.sent {
			continue
		}
		c.sent, c.command.ID = true, s.id()
		s.calls.byID[c.command.ID] = c
		s.link.send(&c.command)
	}
}

// answered takes the answer to a call.
func (s *state) answered(c *call, o *protocol.Object) {
	s.calls.remove(c)
	switch {
	case o.Err != nil:
		c.done(nil, o.Err)
	case o.Kind != c.want:
		c.done(nil, fmt.Errorf("the server's answer to %s is of another kind", c.command.Op))
	default:
		if c.command.Op == protocol.OpAuth {
			s.identities.become(protocol.Auth{App: c.command.App, Token: c.command.Token})
		}
		c.done(o, nil)
	}
}

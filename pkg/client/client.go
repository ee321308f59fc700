package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// ErrClosed is what is answered once Run has returned. ErrNotSent is an
// ErrClosed, too: of a publication that was never on its way, so that it is
// certainly not stored. ErrMaybeStored is with the error that refuses a publication
// of which an earlier try had no answer, where the refusal does not say that this one
// was not stored: publish it as new, and it may be there twice, or give it up.
var (
	ErrClosed      = errors.New("the client has ended")
	ErrNotSent     = fmt.Errorf("%w before this was sent", ErrClosed)
	ErrMaybeStored = errors.New("an earlier try may have been stored")
)

// A Client is one logical client: a session with its subscriptions and
// publications, over one connection after the other. New makes it; the goroutine
// that calls Run owns its state and calls all handlers; the other methods hand
// over to it and may be called concurrently.
type Client struct {
	o       Options
	started atomic.Bool
	done    chan struct{} // closed when Run ends

	inbox *inbox
	slots chan struct{} // one for each publication that waits for an answer
}

// New returns a client that does nothing until Run.
func New(o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Client{
		o:     o,
		done:  make(chan struct{}),
		inbox: newInbox(),
		slots: make(chan struct{}, o.MaxPending),
	}, nil
}

// Run connects, and connects again, until ctx ends or the server says for good
// that it should not: a *ByeError, a *message.Error that refuses the connect, or
// an error of Options.Token. When it returns, all that waits has been answered
// with ErrClosed and no goroutine is left. It may be called once.
func (c *Client) Run(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("Run was called before")
	}
	s := newState(c)
	err := s.run(ctx)
	close(c.done)
	c.inbox.close()
	c.inbox.serve(s)
	s.abandon()
	return err
}

// A Subscription says what a client wants of a channel. The handlers are called
// from Run's goroutine, one after the other; while one works nothing else of
// this client goes on, and the server holds back. They may call the client, but
// for Publish, and PublishAsync where it would wait: Run cannot answer meanwhile.
type Subscription struct {
	Channel channel.Name

	// From is the position to start after; nil is now, or where a named session
	// stands. Offset 0 is the oldest message that is retained.
	From *message.Position

	// OnMessage is given every message once, in order, with the epoch of its
	// position. redelivered: an earlier process of this named session may have
	// seen it.
	OnMessage func(m *message.Message, epoch message.Epoch, redelivered bool)

	// OnGap is told of what will never come. Optional, as are all below.
	OnGap func(Gap)

	// OnLive is told where the client stands when it has all up to there: at the
	// start, and whenever a replay is complete.
	OnLive func(message.Position)

	// OnEnd is told that the server refused the subscription or ended it.
	OnEnd func(*message.Error)
}

// A Gap is a range that can no longer be delivered: nothing with After < offset
// <= To will ever come.
type Gap struct {
	Channel   channel.Name
	After, To message.Offset
	Epoch     message.Epoch // of To
	Reason    string
}

// Subscribe adds a subscription, or replaces that of the same channel. It does
// not wait: OnLive and OnEnd tell what becomes of it. Before Run it is kept for
// the first connection. The error is ErrClosed.
func (c *Client) Subscribe(s Subscription) error {
	return c.inbox.put(func(st *state) { st.subscribe(s) })
}

// Unsubscribe ends a subscription. It does not wait: a message that is on its
// way may still be handed over. The error is ErrClosed.
func (c *Client) Unsubscribe(ch channel.Name) error {
	return c.inbox.put(func(st *state) { st.unsubscribe(ch) })
}

// Ack says, with Options.Manual, that the application has processed ch up to
// offset. It does not wait. The error is ErrClosed.
func (c *Client) Ack(ch channel.Name, offset message.Offset) error {
	return c.inbox.put(func(st *state) { st.ack(ch, offset) })
}

// A Publication is a message to be published.
type Publication struct {
	Channel     channel.Name
	Data        []byte // one JSON value, or, with a ContentType, any bytes
	ContentType string
	Headers     []message.Header
	Key         string // makes it idempotent; default: a fresh random one

	// Prev is the key of the publication before it on its channel: where that one
	// is not stored, this one is refused, with message.OutOfOrder. The server
	// remembers keys for a limited time, so do not name one that was stored long
	// ago.
	Prev string
}

// A Receipt is the answer to a publication that is stored.
type Receipt struct {
	Offset    message.Offset
	Epoch     message.Epoch
	Duplicate bool
}

// Publish publishes p and waits until it is stored or refused. What may change, a
// lost connection included, is tried again with the same key. A refusal is a
// *message.Error, and p is not stored, but where the error is ErrMaybeStored as well.
// An error of ctx or ErrClosed means that it may or may not be stored, but for
// ErrNotSent.
func (c *Client) Publish(ctx context.Context, p Publication) (Receipt, error) {
	type answer struct {
		receipt Receipt
		err     error
	}
	answered := make(chan answer, 1)
	err := c.PublishAsync(ctx, p, func(r Receipt, err error) { answered <- answer{r, err} })
	if err != nil {
		return Receipt{}, err
	}
	select {
	case a := <-answered:
		return a.receipt, a.err
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

// PublishAsync publishes p and calls done once with the answer, from Run's
// goroutine; done must not block. It waits while Options.MaxPending others have
// no answer. Calls of one goroutine are sent in their order. After an error of
// PublishAsync itself nothing is published and done is not called.
func (c *Client) PublishAsync(ctx context.Context, p Publication, done func(Receipt, error)) error {
	select {
	case c.slots <- struct{}{}:
	case <-c.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	release := func(r Receipt, err error) {
		<-c.slots
		done(r, err)
	}
	err := c.inbox.put(func(s *state) { s.publish(p, release) })
	if err != nil {
		<-c.slots
	}
	return err
}

// A ByeError is the server's farewell to a client that is not to come back.
type ByeError struct{ Code message.Code }

func (e *ByeError) Error() string { return "the server ended the connection: " + string(e.Code) }

// wait is a pause between connections, in which callers are still served.
func (s *state) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-s.inbox.wake:
			s.inbox.serve(s)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

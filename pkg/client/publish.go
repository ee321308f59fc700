package client

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// maxSent bounds what is on its way to the server without an answer, so that a
// server that limits the rate refuses few of them before this client knows.
const maxSent = 256

// publications are what has no definite answer, in the order in which it was
// given to the client.
type publications struct {
	queue    []*publication
	byID     map[uint64]*publication // those that are sent
	unsent   int
	failures int       // answers in a row that were not definite
	retryAt  time.Time // before it nothing is sent; zero: go on
}

// A publication is a command and its way to an answer.
type publication struct {
	command protocol.Command
	before  *publication // that of command.Prev, if it had no answer yet
	sent    bool
	tried   bool // it was sent, on this connection or an earlier one
	open    bool // a try had no answer, or unknown: p may be stored
	settled bool // answered, by stored or by an error
	stored  bool
	behind  bool // before must be settled before this is sent again
	done    func(Receipt, error)
}

// publish takes a publication. Its key is the same in all attempts.
func (s *state) publish(want Publication, done func(Receipt, error)) {
	p := &publication{done: done, command: protocol.Command{
		Op: protocol.OpPublish, Channel: want.Channel,
		Data: want.Data, Binary: want.ContentType != "", ContentType: want.ContentType,
		Headers: want.Headers, Key: want.Key, Prev: want.Prev,
	}}
	if p.command.Key == "" {
		p.command.Key = rand.Text()
	}
	if want.Prev != "" {
		p.before = s.pubs.find(want.Channel, want.Prev)
	}
	s.pubs.queue = append(s.pubs.queue, p)
	s.pubs.unsent++
}

// find returns the publication with a key that waits for its answer.
func (q *publications) find(ch channel.Name, key string) *publication {
	for _, p := range slices.Backward(q.queue) {
		if p.command.Channel == ch && p.command.Key == key {
			return p
		}
	}
	return nil
}

// unsend marks everything as not sent: the connection is gone, and with it the
// answers.
func (q *publications) unsend() {
	clear(q.byID)
	for _, p := range q.queue {
		p.open = p.open || p.sent
		p.sent, p.behind = false, false
	}
	q.unsent = len(q.queue)
	q.failures, q.retryAt = 0, time.Time{}
}

// sendPublications sends what is not sent, in order. One that must not overtake
// another waits until that one is on its way.
func (s *state) sendPublications(now time.Time) {
	q := &s.pubs
	if q.unsent == 0 || now.Before(q.retryAt) {
		return
	}
	q.retryAt = time.Time{}
	for _, p := range slices.Clone(q.queue) {
		if len(q.byID) >= maxSent {
			return
		}
		if !p.sent && p.mayGo() {
			s.sendPublication(p, now)
		}
	}
}

// mayGo reports whether p would not overtake its predecessor.
func (p *publication) mayGo() bool {
	return p.before == nil || p.before.settled || p.before.sent && !p.behind
}

func (s *state) sendPublication(p *publication, now time.Time) {
	c := &p.command
	c.ID = s.id()
	if c.First == 0 {
		c.First = now.Add(s.clock).UnixMilli()
	}
	line := protocol.AppendCommand(nil, c)
	// A server ends the connection over what is too large for it, every time.
	if most := s.hello.Max + protocol.CommandOverhead; s.hello.Max > 0 && len(line) > most {
		s.settle(p, Receipt{}, p.refused(message.Errorf(message.TooLarge, "the command has %d bytes; the server takes %d", len(line), most)))
		return
	}
	p.sent, p.tried = true, true
	s.pubs.unsent--
	s.pubs.byID[c.ID] = p
	s.link.queueText(line)
}

// published takes the answer to a publish.
func (s *state) published(p *publication, o *protocol.Object) {
	q := &s.pubs
	delete(q.byID, o.Re)
	switch {
	case o.Err == nil:
		q.failures = 0
		s.settle(p, Receipt{Offset: o.Offset, Epoch: o.Epoch, Duplicate: o.Duplicate}, nil)
	case o.Err.Code == message.OutOfOrder && p.before != nil && (p.before.stored || !p.before.settled):
		// Its predecessor had failed for a while: this follows it, once.
		p.behind = true
		if p.before.stored {
			p.before = nil
		}
		s.unsend(p)
	case definite(o.Err.Code):
		s.settle(p, Receipt{}, p.refused(o.Err))
	default:
		p.open = p.open || o.Err.Code == message.Unknown || o.Err.Code == message.Internal
		s.unsend(p)
		s.holdBack(o.Err)
	}
}

// refused returns the error of a publication that is not tried again. Of an earlier try
// the server says no more than that with two codes (PROTOCOL.md section 6).
func (p *publication) refused(e *message.Error) error {
	if !p.open || e.Code == message.Conflict || e.Code == message.OutOfOrder {
		return e
	}
	return fmt.Errorf("%w: %w", e, ErrMaybeStored)
}

func (s *state) unsend(p *publication) {
	p.sent = false
	s.pubs.unsent++
}

// holdBack waits before the next attempt.
func (s *state) holdBack(e *message.Error) {
	q := &s.pubs
	if !q.retryAt.IsZero() {
		return // this failure belongs to an attempt that is already waited for
	}
	delay := s.o.Backoff(q.failures + 2)
	if e.Code == message.RateLimited {
		delay = max(delay, time.Second)
	}
	q.failures++
	q.retryAt = time.Now().Add(delay)
	s.log.WithError(e).WithField("retry", delay).Debug("publish is tried again")
}

// settle gives the answer and forgets the publication.
func (s *state) settle(p *publication, r Receipt, err error) {
	q := &s.pubs
	if !p.sent {
		q.unsent--
	}
	p.settled, p.stored, p.before = true, err == nil, nil
	if i := slices.Index(q.queue, p); i >= 0 {
		q.queue = slices.Delete(q.queue, i, i+1)
	}
	p.done(r, err)
}

package session

import (
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Start says where a subscription begins.
type Start struct {
	// After is what the client has, if Given; else it begins now.
	After message.Position
	Given bool
}

// A Result is what became of one subscription.
type Result struct {
	Channel channel.Name
	// Offset is where the channel ended when the subscription began: a client
	// that gave no start stands there; for any other, a replay ends there or
	// further on.
	Offset message.Offset
	Err    error
}

// A Mark is where a client says it stands on a channel.
type Mark struct {
	Channel channel.Name
	After   message.Position
}

// Subscribe begins a subscription, or moves one to a new start, and calls done
// when that is durable, where the session is stored. Nothing is sent on it
// before StartOne. Where it could not be stored, a subscription that there was
// before goes on from its new start: what its client misses by that it notices.
func (s *Session) Subscribe(name channel.Name, start Start, done func(Result)) {
	before, _ := s.find(name)
	result := s.place(name, start)
	if result.Err != nil {
		done(result)
		return
	}
	conn := s.conn
	s.Save(func(err error) {
		switch {
		case s.conn != conn: // nobody waits for the result
		case err == nil:
			result.Err = s.ended(name)
		case before != nil:
			result.Err = err
			s.StartOne(name)
		default:
			result.Err = err
			s.end(name)
		}
		done(result)
	})
}

// place sets where a subscription starts, which is made if there is none.
func (s *Session) place(name channel.Name, start Start) Result {
	if err := s.may(name); err != nil {
		return Result{Channel: name, Err: err}
	}
	sub, _ := s.find(name)
	if limit := s.part.manager.limits.Channels; sub == nil && len(s.subs) >= limit {
		return Result{Channel: name, Err: message.Errorf(message.TooLarge, "the session has %d channels already (session.max_channels)", limit)}
	}
	if sub == nil {
		if err := s.enter(name); err != nil {
			return Result{Channel: name, Err: err}
		}
		sub = s.add(name)
		sub.place = broker.Connected
	}
	s.freeing(sub.stop)
	visible := sub.join()
	sub.begin(start, visible)
	return Result{Channel: name, Offset: visible.Offset}
}

// Resume subscribes to what the client says it has, and takes up the session's
// other subscriptions at their cursors. The results are for all subscriptions
// that the session has or was asked for. After an error, Unavailable, the session
// has what it had, and its client has to come back: an application has no place for
// it at the moment.
func (s *Session) Resume(marks []Mark) ([]Result, error) {
	if err := s.connectPlaces(); err != nil {
		return nil, err
	}
	named := make(map[channel.Name]struct{}, len(marks))
	results := make([]Result, 0, len(s.subs)+len(marks))
	for _, mark := range marks {
		named[mark.Channel] = struct{}{}
		results = append(results, s.place(mark.Channel, Start{After: mark.After, Given: true}))
	}
	for i := 0; i < len(s.subs); {
		sub := s.subs[i]
		if _, ok := named[sub.name]; ok {
			i++
			continue
		}
		result := s.takeUp(sub)
		results = append(results, result)
		if result.Err == nil {
			i++
		}
	}
	s.dropRefused(results)
	return results, nil
}

// takeUp begins a subscription at its cursor: the client has forgotten where it
// stands, and may see messages again.
func (s *Session) takeUp(sub *subscription) Result {
	if err := s.may(sub.name); err != nil {
		s.remove(sub)
		return Result{Channel: sub.name, Err: err}
	}
	visible := sub.join()
	sub.begin(Start{After: sub.acked, Given: true}, visible)
	sub.past.resumed, sub.past.again = true, visible.Offset
	return Result{Channel: sub.name, Offset: visible.Offset}
}

// dropRefused removes subscriptions that the session had and may no longer have.
func (s *Session) dropRefused(results []Result) {
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		if sub, _ := s.find(r.Channel); sub != nil {
			s.remove(sub)
		}
	}
}

// Confirm has the results of Resume tell what has become of the subscriptions
// since: a change of rights may have ended some, while the session was saved.
func (s *Session) Confirm(results []Result) {
	for i := range results {
		if r := &results[i]; r.Err == nil {
			r.Err = s.ended(r.Channel)
		}
	}
}

// ended returns why there is no subscription of the channel any more, or nil.
func (s *Session) ended(name channel.Name) error {
	if sub, _ := s.find(name); sub != nil {
		return nil
	}
	if err := s.may(name); err != nil {
		return err
	}
	// Rights have gone and come back.
	return message.Errorf(message.Unavailable, "the rights to %s have just changed; subscribe again", name)
}

// Start begins to send on all subscriptions that wait for it. The first for which the
// connection has no room is first the next time: a poll may have room for some each.
func (s *Session) Start() {
	if s.feed != nil {
		s.feed.start()
	}
	full, first := false, int(s.turn)
	for i := range s.subs {
		at := (first + i) % len(s.subs)
		if !full && s.conn.Blocked() {
			full, s.turn = true, uint16(at)
		}
		s.subs[at].started = true
		s.subs[at].pump()
	}
}

// StartOne begins to send on one subscription, once its reply is queued.
func (s *Session) StartOne(name channel.Name) {
	if sub, _ := s.find(name); sub != nil {
		sub.started = true
		sub.pump()
	}
}

// Unsubscribe ends a subscription, and calls done when that is durable. One that
// is not there has ended. After an error it goes on.
func (s *Session) Unsubscribe(name channel.Name, done func(error)) {
	sub, _ := s.find(name)
	conn := s.conn
	s.saveWithout(sub, func(err error) {
		if err == nil && s.conn == conn { // else who has taken the session up has it
			s.end(name)
		}
		done(err)
	})
}

// end removes a subscription, if it is there.
func (s *Session) end(name channel.Name) {
	if sub, _ := s.find(name); sub != nil {
		s.freeing(func() { s.remove(sub) })
	}
}

// freeing does what may give back room in the session's window, and goes on with
// what its limit of bytes held back: all subscriptions share it.
func (s *Session) freeing(f func()) {
	full := s.unacked >= s.part.manager.limits.WindowBytes
	f()
	if full && s.conn != nil {
		s.Writable()
	}
}

// Ack moves a cursor: the client has processed the channel up to the offset. It
// is an error to acknowledge what was not sent.
func (s *Session) Ack(name channel.Name, offset message.Offset) error {
	sub, _ := s.find(name)
	if sub == nil {
		return nil // unsubscribed or revoked while the ack was on its way
	}
	if offset > sub.Sent {
		return message.Errorf(message.BadRequest, "ack of %s up to %d is beyond %d, the last that was sent", name, offset, sub.Sent)
	}
	if !sub.trusted() {
		sub.past.early = max(sub.past.early, offset) // so far Sent is what the client said
		return nil
	}
	sub.moveCursor(message.Position{Epoch: sub.epoch, Offset: offset})
	s.freeing(func() { s.unacked -= sub.window.ack(offset) })
	sub.pump()
	return nil
}

// moveCursor moves the cursor forward, or into a later run of the engine, and
// lets the engine know. Both positions are of this history.
func (sub *subscription) moveCursor(to message.Position) {
	to.Offset = max(to.Offset, sub.acked.Offset)
	if to == sub.acked {
		return
	}
	sub.acked = to
	if s := sub.session; s.owner.name != "" {
		s.part.moves = append(s.part.moves, engine.CursorMove{
			Key: engine.SessionKey(s.id), Channel: sub.name, Cursor: engine.Cursor{Position: to},
		})
	}
}

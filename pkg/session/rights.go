package session

import (
	"context"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// recheck looks up who the client is by now, and judges its subscriptions. done
// is called when no more is delivered than is allowed.
func (s *Session) recheck(done func()) {
	m := s.part.manager
	s.look(looks{moreLooks, m.uptime() + m.broker.AuthTime()}, done)
}

// A looks says how often a look may be repeated, and until when: a client that proves
// identities all the time must not be delivered for long what it has lost.
type looks struct {
	more  int
	until time.Duration // of the manager's uptime; none begins later
}

// moreLooks is how often a look is repeated: so many may overlap with it.
const moreLooks = 8

// look looks once, and again if the client is somebody else by then: it has proven
// another identity meanwhile, which nobody has looked at, or another look has come to
// its end, and ours may be older. A client of whom that is so all the time, or for so
// long as one look may take, has to come back.
func (s *Session) look(l looks, done func()) {
	conn, who, b := s.conn, s.who, s.part.manager.broker
	b.Ask(func() {
		now, err := b.Refresh(context.Background(), who)
		s.part.loop.Post(func() {
			if s.conn == conn && s.who != who && l.more > 0 && s.part.manager.uptime() < l.until {
				s.look(looks{l.more - 1, l.until}, done)
				return
			}
			defer done()
			switch {
			case s.conn != conn: // another was judged when it came
			case s.who != who:
				s.dismiss(string(message.Unavailable), failRetry)
			case message.CodeOf(err) == message.Unauthorized:
				s.dismiss(ByeUnauthorized, 0)
			case err != nil: // nobody knows any more: the client's positions stay its own
				s.dismiss(string(message.Unavailable), failRetry)
			default:
				s.Become(now)
			}
		})
	})
}

// judge ends the subscriptions that the rights in force do not allow.
func (s *Session) judge() {
	if s.feed != nil {
		s.feed.judge()
		return
	}
	had := len(s.subs)
	s.freeing(func() {
		for _, sub := range slices.Clone(s.subs) {
			if err := s.may(sub.name); err != nil {
				if sub.started { // else the reply is still to come, and tells
					s.conn.Revoked(sub.name, message.AsError(err))
				}
				s.remove(sub)
			}
		}
	})
	if len(s.subs) < had {
		s.Save(func(err error) {
			if err != nil {
				s.part.manager.log.WithError(err).Warn("a revoked subscription is still stored; it is judged again when its client comes back")
			}
		})
	}
}

func (s *Session) may(name channel.Name) error {
	return s.part.manager.broker.May(s.who, acl.Subscribe, name)
}

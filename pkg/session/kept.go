package session

import (
	"github.com/orbitd/orbitd/pkg/engine"
)

// Save stores a named session as it is now, and calls done on the session's
// loop when that is durable. For a session without a name there is nothing to
// store, and done is called at once.
func (s *Session) Save(done func(error)) { s.saveWithout(nil, done) }

// saveWithout is Save but for one subscription; nil is none.
func (s *Session) saveWithout(sub *subscription, done func(error)) {
	if s.owner.name == "" {
		done(nil)
		return
	}
	s.part.manager.broker.Engine().SaveSession(s.record(sub), func(err error) {
		s.part.loop.Post(func() { done(err) })
	})
}

func (s *Session) record(without *subscription) engine.Session {
	r := engine.Session{
		Key: engine.SessionKey(s.id), Realm: s.owner.realm, User: s.owner.user, Name: s.owner.name,
		TTL: s.part.manager.limits.DurableTTL,
	}
	for i, hash := range s.secrets {
		copy(r.Secrets[i][:], hash[:])
	}
	for _, sub := range s.subs {
		if sub != without {
			r.Subscriptions = append(r.Subscriptions, engine.Subscription{
				Channel: sub.name, Cursor: engine.Cursor{Position: sub.acked},
			})
		}
	}
	return r
}

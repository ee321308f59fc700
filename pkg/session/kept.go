package session

import (
	"github.com/orbitd/orbitd/pkg/engine"
)

// Save stores a named session as it is when nothing else of it is being stored, and
// calls done on the session's loop when that is durable. For a session without a name
// there is nothing to store, and done is called at once.
func (s *Session) Save(done func(error)) { s.saveWithout(nil, done) }

// saveWithout is Save but for one subscription; nil is none.
//
// One save follows another: what a client is told of one is settled before the next
// record is made. Otherwise that could bring back a subscription whose end was
// answered, or store one whose beginning had failed.
func (s *Session) saveWithout(sub *subscription, done func(error)) {
	if s.owner.name == "" {
		done(nil)
		return
	}
	saving := s.part.saving
	if waiting, busy := saving[s]; busy {
		saving[s] = append(waiting, func() { s.store(sub, done) })
		return
	}
	saving[s] = nil
	s.store(sub, done)
}

// store stores the session, and then what waits for it.
func (s *Session) store(without *subscription, done func(error)) {
	p := s.part
	p.manager.broker.Engine().SaveSession(s.record(without), func(err error) {
		p.loop.Post(func() {
			defer s.storeNext()
			done(err)
		})
	})
}

func (s *Session) storeNext() {
	saving := s.part.saving
	waiting := saving[s]
	if len(waiting) == 0 {
		delete(saving, s)
		return
	}
	saving[s] = waiting[1:]
	waiting[0]()
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

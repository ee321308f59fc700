package session

import (
	"strings"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
)

// A session has one place in each application in which it has a subscription, as
// the broker counts them. All its subscriptions there know which: so any one of
// them tells.

// sameApp calls yield for the session's subscriptions of the channel's
// application. Those are its own channel and a run of the others.
func (s *Session) sameApp(name channel.Name, yield func(*subscription) bool) {
	app := "/" + name.App()
	if own, _ := s.find(channel.Name(app)); own != nil && !yield(own) {
		return
	}
	below := app + "/"
	_, at := s.find(channel.Name(below))
	for ; at < len(s.subs) && strings.HasPrefix(string(s.subs[at].name), below); at++ {
		if !yield(s.subs[at]) {
			return
		}
	}
}

// placeBeside returns the place that other subscriptions than sub have in the
// application of its channel.
func (s *Session) placeBeside(sub *subscription, name channel.Name) (place broker.Place) {
	s.sameApp(name, func(other *subscription) bool {
		if other == sub {
			return true
		}
		place = other.place
		return false
	})
	return place
}

// enter takes a place for a subscription that is to be.
func (s *Session) enter(name channel.Name) error {
	beside := s.placeBeside(nil, name)
	if beside == broker.Connected {
		return nil
	}
	return s.changePlace(name, beside, broker.Connected)
}

// leave gives back the place of a subscription that is no more, unless others of
// its application need it.
func (s *Session) leave(sub *subscription) {
	if s.placeBeside(sub, sub.name) == broker.NoPlace {
		_ = s.part.manager.broker.Occupy(sub.name, sub.place, broker.NoPlace) // less is never refused
	}
	sub.place = broker.NoPlace
}

// connectPlaces has the places of all subscriptions that the client may have be
// those of one that is connected. After an error some are.
func (s *Session) connectPlaces() error {
	for _, sub := range s.subs {
		if sub.place == broker.Connected || s.may(sub.name) != nil {
			continue
		}
		if err := s.changePlace(sub.name, sub.place, broker.Connected); err != nil {
			return err
		}
	}
	return nil
}

// lowerPlaces has no place be more than most.
func (s *Session) lowerPlaces(most broker.Place) {
	for _, sub := range s.subs {
		if sub.place > most {
			_ = s.changePlace(sub.name, sub.place, most) // less is never refused
		}
	}
}

// changePlace changes the place that the subscriptions of an application have.
func (s *Session) changePlace(name channel.Name, from, to broker.Place) error {
	if err := s.part.manager.broker.Occupy(name, from, to); err != nil {
		return err
	}
	s.sameApp(name, func(sub *subscription) bool {
		sub.place = to
		return true
	})
	return nil
}

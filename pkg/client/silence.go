package client

import (
	"fmt"
	"time"

	"github.com/orbitd/orbitd/pkg/protocol"
)

// pingAfter is the silence after which a client asks, before the server has
// said; pongWithin is how long it waits then.
const (
	pingAfter  = 10 * time.Second
	pongWithin = 10 * time.Second
)

func (s *state) silence() time.Duration {
	if s.hello != nil && s.hello.Ping > 0 {
		return s.hello.Ping
	}
	return pingAfter
}

// deadline returns when something is to be done though nothing comes.
func (s *state) deadline() time.Time {
	t := s.heard.Add(s.silence())
	if s.pinged || s.hello == nil {
		t = t.Add(pongWithin)
	}
	for _, due := range [...]time.Time{s.ackDue, s.retryAt, s.pubs.retryAt} {
		if !due.IsZero() && due.Before(t) && s.hello != nil {
			t = due
		}
	}
	return t
}

// checkLife asks a server that is silent, and gives up one that stays so.
func (s *state) checkLife(now time.Time) *ending {
	silent := now.Sub(s.heard)
	switch {
	case silent >= s.silence()+pongWithin:
		return again(fmt.Errorf("the server is silent for %v", silent.Round(time.Second)))
	case silent >= s.silence() && !s.pinged && s.hello != nil:
		s.pinged = true
		s.link.send(&protocol.Command{Op: protocol.OpPing})
	}
	return nil
}

// sendDue queues what is to be sent by now.
func (s *state) sendDue(now time.Time) {
	if s.hello == nil {
		return
	}
	if !s.retryAt.IsZero() && !now.Before(s.retryAt) {
		s.retrySubscriptions()
	}
	if !s.ackDue.IsZero() && !now.Before(s.ackDue) {
		s.sendAcks()
	}
	s.sendPublications(now)
	s.sendCalls()
}

package transport

import (
	"net/http"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// SendPath is where commands come in for a session whose connection goes down
// only.
const SendPath = "/v1/send"

// The headers that name the session, which have no place in a URL.
const (
	sessionHeader = "Orbit-Session"
	secretHeader  = "Orbit-Secret"
)

// maxDeliveries is how many deliveries may wait for a connection.
const maxDeliveries = 16

// A delivery is commands that came by a request of their own, for the connection
// of a session.
type delivery struct {
	text []byte // nil once it was fed
	// taken is called once, on the loop: when all commands have been begun, or
	// with the error for which they are not.
	taken func(error)
}

// serveSend hands the body's commands to the session's connection, where they are
// answered.
func (s *Server) serveSend(w http.ResponseWriter, r *http.Request) {
	if err := s.send(w, r); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) send(w http.ResponseWriter, r *http.Request) error {
	id, secret := r.Header.Get(sessionHeader), r.Header.Get(secretHeader)
	if id == "" || secret == "" {
		return message.Errorf(message.BadRequest, "name the session in the headers %s and %s", sessionHeader, secretHeader)
	}
	proof, err := s.identify(r)
	if err != nil {
		return err
	}
	text, err := s.readCommands(w, r)
	if err != nil {
		return err
	}
	to := s.sessions.Find(id)
	if to == nil {
		return errNoSession
	}
	taken := make(chan error, 1)
	s.parts[to.Part().Index()].loop.Post(func() {
		deliver(to, proof.who, secret, delivery{text, func(err error) { taken <- err }})
	})
	select {
	case err := <-taken:
		return err
	case <-r.Context().Done():
		return message.Errorf(message.Unknown, "the request has ended before all commands were begun")
	}
}

var errNoSession = message.Errorf(message.SessionExpired, "there is no such session (any more); connect anew")

// deliver finds the connection of a session, on the session's loop.
func deliver(to *session.Session, who *broker.Who, secret string, d delivery) {
	if !to.Selects(session.Request{Who: who, Secret: secret}) {
		d.taken(errNoSession)
		return
	}
	c, ok := to.Conn().(carrier)
	if !ok {
		d.taken(message.Errorf(message.Unavailable, "the session has no connection just now; nothing was carried out"))
		return
	}
	c.commands().deliver(d)
}

// deliver queues a delivery behind the commands that wait.
func (x *exchange) deliver(d delivery) {
	q := x.queue()
	if len(q.deliveries) >= maxDeliveries {
		d.taken(message.Errorf(message.RateLimited, "%d bodies wait for this session already; send one at a time", maxDeliveries))
		return
	}
	q.deliveries = append(q.deliveries, d)
	x.proceed()
}

// hasDelivery reports whether there is a delivery that is begun or may be.
func (x *exchange) hasDelivery() bool {
	q := x.waiting
	return q != nil && len(q.deliveries) > 0 && (q.deliveries[0].text == nil || !x.carrier.full())
}

// nextDelivery ends the delivery whose commands have all been begun, and feeds
// the next. It reports whether there was anything to do.
func (x *exchange) nextDelivery() bool {
	if !x.hasDelivery() {
		return false
	}
	q := x.waiting
	first := &q.deliveries[0]
	if text := first.text; text != nil {
		first.text = nil
		x.take(text)
		return true
	}
	q.deliveries = q.deliveries[1:]
	first.taken(nil)
	return true
}

// dropDeliveries ends those that the connection's end leaves over: some of the
// first one's commands may have been begun.
func (x *exchange) dropDeliveries() {
	if x.waiting == nil {
		return
	}
	for _, d := range x.waiting.deliveries {
		if d.text != nil {
			d.taken(message.Errorf(message.Unavailable, "the session's connection has ended; nothing was carried out"))
		} else {
			d.taken(message.Errorf(message.Unknown, "the session's connection has ended, and with it the answers"))
		}
	}
	x.waiting.deliveries = nil
}

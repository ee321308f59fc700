package client

import (
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// identities are those for one application each, which every connect brings. A server
// refuses a connect over any one of them and does not say which. Then the next
// connection only asks: it has no session, for whoever takes up a session without an
// identity ends what that may read, and it proves each identity by itself. Those that
// are refused are forgotten, and the connection after it is as any other.
type identities struct {
	all     []protocol.Auth
	doubt   *message.Error    // why the next connection is one that asks; nil: it is none
	checked bool              // they were asked about since the client was last connected
	asked   map[uint64]string // applications, by the command without an answer
}

// become remembers an identity for the connections that follow.
func (i *identities) become(a protocol.Auth) {
	i.forget(a.App)
	i.all = append(i.all, a)
}

func (i *identities) forget(app string) {
	i.all = slices.DeleteFunc(i.all, func(a protocol.Auth) bool { return a.App == app })
}

// proveIdentities has each one proven by itself.
func (s *state) proveIdentities() *ending {
	i := &s.identities
	i.asked = make(map[uint64]string, len(i.all))
	for _, a := range i.all {
		id := s.id()
		i.asked[id] = a.App
		s.link.send(&protocol.Command{Op: protocol.OpAuth, ID: id, App: a.App, Token: a.Token})
	}
	return s.provedAll()
}

// proved takes the answer for one application.
func (s *state) proved(app string, o *protocol.Object) *ending {
	i := &s.identities
	delete(i.asked, o.Re)
	if o.Err != nil && definite(o.Err.Code) {
		s.log.WithError(o.Err).WithField("app", app).Warn("an identity is not believed any more")
		i.forget(app)
	}
	return s.provedAll()
}

// provedAll ends the connection that asks when all is answered.
func (s *state) provedAll() *ending {
	i := &s.identities
	if len(i.asked) > 0 {
		return nil
	}
	end := &ending{err: i.doubt, delay: time.Millisecond}
	i.doubt, i.checked = nil, true
	return end
}

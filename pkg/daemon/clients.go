package daemon

import (
	"context"
	"errors"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/session"
	"github.com/orbitd/orbitd/pkg/stomp"
	"github.com/orbitd/orbitd/pkg/transport"
)

// everybody is the clients of all front doors, to be looked at again.
type everybody struct {
	sessions *session.Manager
	stomp    *stomp.Server
}

func (d *Daemon) everybody() everybody { return everybody{d.sessions, d.stomp} }

// clientsOf returns what tells, for everybody.RecheckWhere, the clients of a user; "":
// all clients.
func clientsOf(user string) func(*broker.Who) bool {
	return func(w *broker.Who) bool {
		for id := range w.Identities() {
			if id.User == user {
				return true
			}
		}
		return user == ""
	}
}

// Connected returns who the connected clients are, without the anonymous ones.
func (e everybody) Connected(ctx context.Context) ([]*broker.Who, error) {
	all, err := e.sessions.Connected(ctx)
	if err != nil {
		return nil, err
	}
	more, err := e.stomp.Connected(ctx)
	return append(all, more...), err
}

// RecheckWhere has the clients judged again that concerned reports.
func (e everybody) RecheckWhere(ctx context.Context, concerned func(*broker.Who) bool) error {
	return errors.Join(e.sessions.RecheckWhere(ctx, concerned), e.stomp.RecheckWhere(ctx, concerned))
}

// loginEnded has the clients judged again that came by a login that was ended.
func (e everybody) loginEnded(ctx context.Context, login string) error {
	return e.RecheckWhere(ctx, func(w *broker.Who) bool {
		for id := range w.Identities() {
			if id.Login != nil && id.Login.ID == login {
				return true
			}
		}
		return false
	})
}

// overWebSocket returns what takes a WebSocket by each of STOMP's subprotocols.
func overWebSocket(s *stomp.Server) map[string]func(*reactor.Conn, transport.Handshake) reactor.Handler {
	others := map[string]func(*reactor.Conn, transport.Handshake) reactor.Handler{}
	for _, name := range stomp.Subprotocols {
		others[name] = func(c *reactor.Conn, h transport.Handshake) reactor.Handler {
			return s.Upgraded(c, h.Answer, h.Brings, h.Page, h.Client)
		}
	}
	return others
}

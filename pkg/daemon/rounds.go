package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
)

// roundTimeout bounds one round: a directory is asked by question, and each has a
// time limit of its own.
const roundTimeout = 10 * time.Minute

// rounds look up again, as often as their authenticators want, what is true of the
// users who are connected, and have those sessions judged of whose users something
// else is true than they say, and those whose proof may be believed no more. stop ends
// them and waits.
type rounds struct {
	log      logrus.FieldLogger
	sessions everybody
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

func startRounds(members []auth.Named, sessions everybody, log logrus.FieldLogger) *rounds {
	ctx, cancel := context.WithCancel(context.Background())
	r := &rounds{log: log, sessions: sessions, cancel: cancel}
	for _, m := range members {
		if renewer, ok := m.Authenticator.(auth.Renewer); ok {
			r.running.Go(func() { r.run(ctx, m.Name, renewer) })
		}
		if prover, ok := m.Authenticator.(auth.Prover); ok && prover.Changed() != nil {
			r.running.Go(func() { r.watch(ctx, m.Name, prover.Changed()) })
		}
	}
	return r
}

func (r *rounds) stop() {
	r.cancel()
	r.running.Wait()
}

func (r *rounds) run(ctx context.Context, realm string, renewer auth.Renewer) {
	every := time.NewTicker(renewer.Every())
	defer every.Stop()
	for {
		select {
		case <-every.C:
			r.round(ctx, realm, renewer)
		case <-ctx.Done():
			return
		}
	}
}

func (r *rounds) round(ctx context.Context, realm string, renewer auth.Renewer) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	now, _ := renew(ctx, realm, renewer, r.sessions, "", r.log)
	if ctx.Err() != nil {
		return // it ends
	}
	err := r.sessions.RecheckWhere(ctx, func(w *broker.Who) bool { return differs(w, realm, now) })
	if err != nil && ctx.Err() == nil {
		r.log.WithError(err).Error("not all clients could be looked at again")
	}
}

// watch has those judged again whom an authenticator has found good, whenever it may not
// believe any more what they have proven that by.
func (r *rounds) watch(ctx context.Context, name string, changed <-chan struct{}) {
	for {
		select {
		case <-changed:
			err := r.sessions.RecheckWhere(ctx, func(w *broker.Who) bool { return provenBy(w, name) })
			if err != nil && ctx.Err() == nil {
				r.log.WithError(err).Error("not all clients could be looked at again")
			}
		case <-ctx.Done():
			return
		}
	}
}

func provenBy(w *broker.Who, name string) bool {
	for id := range w.Identities() {
		if id.By == name {
			return true
		}
	}
	return false
}

// renew looks the connected users of a realm up again, or the one that is named, and
// returns what is true of them now. An error is logged; whom it concerns stays for the
// grace.
func renew(ctx context.Context, realm string, renewer auth.Renewer, sessions everybody, user string, log logrus.FieldLogger) (map[string]*auth.Identity, error) {
	connected, err := sessions.Connected(ctx)
	if err != nil {
		return nil, err
	}
	users := make(map[string]bool)
	for _, who := range connected {
		for id := range who.Identities() {
			if id.Realm == realm && (user == "" || id.User == user) {
				users[id.User] = true
			}
		}
	}
	now, err := renewer.Renew(ctx, slices.Sorted(maps.Keys(users)))
	if err == nil {
		return now, nil
	}
	if ctx.Err() == nil {
		log.WithError(err).WithField("auth", realm).Warn("connected users could not be looked up again; they stay for the grace")
	}
	return now, fmt.Errorf("auth %q: connected users could not be looked up again; they stay for the grace: %w", realm, err)
}

// differs reports whether a client is something else now than its session says.
// Who has come since is not in now; to look at it again does no harm.
func differs(w *broker.Who, realm string, now map[string]*auth.Identity) bool {
	for id := range w.Identities() {
		if id.Realm != realm {
			continue
		}
		if is := now[id.User]; is == nil || !slices.Equal(is.Groups, id.Groups) {
			return true
		}
	}
	return false
}

// renewAll is one round of all authenticators, for everybody or the user that is named.
func renewAll(ctx context.Context, members []auth.Named, sessions everybody, user string, log logrus.FieldLogger) error {
	var errs []error
	for _, m := range members {
		if renewer, ok := m.Authenticator.(auth.Renewer); ok {
			_, err := renew(ctx, m.Name, renewer, sessions, user, log)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

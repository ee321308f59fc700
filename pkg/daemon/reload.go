package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
)

// Reload reads the configuration again and puts rules, users, keys, origins, the
// certificate and the log's level in force, without touching a connection but for subscriptions
// that are allowed no more. When it returns, no message is delivered that the
// new rules forbid. On an error everything is as it was, but for
// [ErrNotRechecked]. The log and the service manager are told what became of it.
func (d *Daemon) Reload(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return errors.New("the daemon is stopping")
	}
	d.tell(d.manager.Reloading())
	before := d.Config()
	err := d.reload(ctx)
	d.judge(before, err)
	d.tell(d.manager.Status(d.summary()))
	d.tell(d.manager.Ready())
	return err
}

func (d *Daemon) reload(ctx context.Context) error {
	c, err := d.load()
	if err != nil {
		return err
	}
	rights, err := newRights(c, d.surroundings(d.kept))
	if err != nil {
		return err
	}
	set, err := d.identities(c)
	if err != nil {
		rights.discard()
		return err
	}
	d.warn(c)
	for _, section := range needRestart(d.Config(), c) {
		d.log.WithField("section", section).Warn(atRestart)
	}
	setLogging(d.log, c.Log)
	d.broker.SetRights(rights.Rights)
	d.setIssuer(rights.issuer)
	if d.tls != nil && len(set.Identities) > 0 {
		d.tls.Use(set)
	}
	d.gate.Set(gateRules(c))
	d.config.Store(c)
	d.useKept(rights)
	_ = renewAll(ctx, d.members, d.everybody(), "", d.log) // it is logged; if there was no time, recheck says so
	return d.recheck(ctx, "")
}

// Recheck looks up again what is true of the users who are connected, all or the one
// that is named, in directories and users' files, and judges their rights, without
// reading the configuration. When it returns, no message is delivered that is not
// allowed. A users' file that is not right leaves the users as they were.
func (d *Daemon) Recheck(ctx context.Context, user string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return errors.New("the daemon is stopping")
	}
	var errs []error
	for _, m := range d.members {
		if file, ok := m.Authenticator.(*fileauth.Authenticator); ok {
			errs = append(errs, file.Reload())
		}
	}
	errs = append(errs, renewAll(ctx, d.members, d.everybody(), user, d.log), d.recheck(ctx, user))
	return errors.Join(errs...)
}

// recheck has all clients judged again, or those of a user.
func (d *Daemon) recheck(ctx context.Context, user string) error {
	if err := d.everybody().RecheckWhere(ctx, clientsOf(user)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRechecked, err)
	}
	return nil
}

// useKept puts the directories and key sets of r in the place of those before, which
// nobody asks any more but for logins that are judged again.
func (d *Daemon) useKept(r *rights) {
	d.rounds.stop()
	closeKept(d.kept, r.kept)
	d.kept, d.members = r.kept, r.members
	d.asked.Store(&r.members)
	d.rounds = startRounds(r.members, d.everybody(), d.log)
}

// ErrNotRechecked says that a reload has put the new configuration in force, but
// could not wait until it was applied to every client.
var ErrNotRechecked = errors.New("not all clients have been looked at again in time; reload once more")

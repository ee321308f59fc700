package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/fileauth"
)

// Reload reads the configuration again and puts rules, users, keys, origins, the
// certificate and the log's level in force, without touching a connection but for subscriptions
// that are allowed no more. When it returns, no message is delivered that the
// new rules forbid. On an error everything is as it was, but for
// [ErrNotRechecked]. The log and the service manager are told what became of it. It takes
// no longer than [admin.ApplyTime].
func (d *Daemon) Reload(ctx context.Context) error {
	_, err := d.judged(ctx)
	return err
}

// Apply implements admin.Controlled.
func (d *Daemon) Apply(ctx context.Context) admin.Verdict {
	v, _ := d.judged(ctx)
	return v
}

// judged reloads, and returns the verdict as well.
func (d *Daemon) judged(ctx context.Context) (admin.Verdict, error) {
	ctx, cancel := d.whileAlive(ctx, admin.ApplyTime)
	defer cancel()
	if err := d.begin(ctx); err != nil {
		Report(d.log, notReloaded, err)
		return admin.Verdict{At: d.now(), Error: err.Error()}, err
	}
	defer d.unlock()
	d.tell(d.manager.Reloading())
	before := d.Config()
	err := d.reload(ctx)
	v := d.judge(before, err)
	d.tell(d.manager.Status(d.summary()))
	d.tell(d.manager.Ready())
	return *v, err
}

// begin takes the lock of a daemon that does not stop.
func (d *Daemon) begin(ctx context.Context) error {
	err := d.lock(ctx)
	switch {
	case d.life.Err() == nil:
		return err
	case err == nil:
		d.unlock()
	}
	return errors.New("the daemon is stopping")
}

func (d *Daemon) reload(ctx context.Context) error {
	c, err := d.load()
	if err != nil {
		return err
	}
	c = c.In(d.begun.StateDirectory) // where the key is, whatever engine.path says now
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
	for _, section := range d.needRestart(c) {
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
// allowed. A users' file that is not right leaves the users as they were. It takes no
// longer than [admin.RecheckTime].
func (d *Daemon) Recheck(ctx context.Context, user string) error {
	ctx, cancel := d.whileAlive(ctx, admin.RecheckTime)
	defer cancel()
	if err := d.begin(ctx); err != nil {
		return err
	}
	members := d.members
	err := readUsers(members)
	d.unlock() // a directory may take its time, and holds up no reload
	return errors.Join(err, renewAll(ctx, members, d.everybody(), user, d.log), d.recheck(ctx, user))
}

// readUsers reads users' files again. The daemon's lock is held: what was read last is in
// force.
func readUsers(members []auth.Named) error {
	var errs []error
	for _, m := range members {
		if file, ok := m.Authenticator.(*fileauth.Authenticator); ok {
			errs = append(errs, file.Reload())
		}
	}
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

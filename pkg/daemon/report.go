package daemon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/config"
)

// Report logs why something failed as an operator looks for it: each mistake in
// an entry of its own, with its place and its hint as fields, and then what that
// means.
func Report(log logrus.FieldLogger, meaning string, err error) {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			log.WithFields(logrus.Fields{"at": place(p), "hint": p.Hint}).Error(p.Text)
		}
		log.Error(meaning)
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && !errors.Is(err, ErrNotRechecked) {
		for _, err := range joined.Unwrap() {
			log.Error(err.Error())
		}
		log.Error(meaning)
		return
	}
	log.WithError(err).Error(meaning)
}

// atRestart is said of what a reload does not apply.
const atRestart = "this change takes effect at the next restart"

// notReloaded is what it means that a reload has failed.
const notReloaded = "not reloaded; the old configuration stays in force"

// judge logs what became of a reload, and keeps it for who asks.
func (d *Daemon) judge(before *config.Config, err error) *admin.Verdict {
	c := d.Config()
	v := &admin.Verdict{At: d.now(), InForce: c != before, Warnings: slices.Clone(c.Warnings)}
	switch found, wrong := errors.AsType[config.Problems](err); {
	case wrong:
		v.Problems = found
		v.Warnings = nil
	case err != nil:
		v.Error = err.Error()
	}
	switch {
	case err == nil:
		d.log.WithFields(InForce(c)).Info("reloaded")
	case v.InForce:
		Report(d.log, "reloaded, but not wholly applied", err)
	default:
		Report(d.log, notReloaded, err)
	}
	if v.InForce {
		unruled := d.lookUnruled(c)
		d.warnOf(unruled)
		v.Warnings = append(v.Warnings, unruled...)
		for _, app := range c.Disabled {
			v.Problems = append(v.Problems, app.Err...)
		}
		for _, section := range d.needRestart(c) {
			v.Warnings = append(v.Warnings, config.Problem{File: c.File, Text: section + ": " + atRestart})
		}
	}
	d.verdict.Store(v)
	d.reloads.judged(v)
	return v
}

// InForce says in numbers what a configuration came to.
func InForce(c *config.Config) logrus.Fields {
	return logrus.Fields{"config": c.File, "authenticators": len(c.Auth), "rules": len(c.Rules), "disabled_apps": len(c.Disabled)}
}

// tell logs that the service manager could not be told something: it is no
// reason to serve nobody.
func (d *Daemon) tell(err error) {
	if err != nil {
		d.log.WithError(err).Warn("the service manager was not told")
	}
}

func place(p config.Problem) string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

package daemon

import (
	"fmt"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/config"
)

// A lister is an engine that tells which channels have messages. The others keep none
// over a start.
type lister interface{ Channels() []channel.Name }

// lookUnruled counts the channels that have messages and no rule, and returns the warning
// of them, if there are any.
func (d *Daemon) lookUnruled(c *config.Config) config.Problems {
	l, ok := d.engine.(lister)
	if !ok {
		return nil
	}
	names := slices.DeleteFunc(l.Channels(), func(name channel.Name) bool { return !c.Unruled(name) })
	d.unruled.Store(int64(len(names)))
	if len(names) == 0 {
		return nil
	}
	first := slices.Min(names)
	return config.Problems{{
		File: c.File,
		Text: fmt.Sprintf("no rule fits %s that %s messages, such as %s: they are kept without limit until one does", count(len(names), "channel"), have(len(names)), first),
		Hint: fmt.Sprintf("to drop them write a [[channel]] with match = %q, retain = { age = \"1s\" }, and neither subscribe nor publish", "/"+first.App()+"/**"),
	}}
}

func have(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

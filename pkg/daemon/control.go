package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/message"
)

var _ admin.Controlled = (*Daemon)(nil)

// Status implements admin.Controlled.
func (d *Daemon) Status() admin.Status {
	c, e := d.Config(), d.engine.Status()
	s := admin.Status{
		Version: d.version, PID: os.Getpid(), Started: d.started, Summary: d.summary(),
		Clients: d.Clients(), Connections: d.reactor.Len(), Sessions: d.sessions.Count(),
		Apps: countApps(c), Lagging: d.hub.Lagging(), STOMP: admin.STOMP(d.stomp.Kept()),
		Listeners: map[string][]string{},
		Engine:    admin.Engine{Type: d.begun.Engine.Type, Epoch: e.Epoch.String(), Offset: uint64(e.Visible)},
		State:     d.begun.StateDirectory,
		Config:    admin.Config{File: c.File, Path: absolute(c.File), Authenticators: len(c.Auth), Rules: len(c.Rules)},
		Reload:    d.verdict.Load(),
		Restart:   d.needRestart(c), Unruled: int(d.unruled.Load()),
	}
	if s.Engine.Type == config.LocalEngine {
		s.Engine.Path = d.begun.Engine.Path
	}
	if e.Refusing != nil {
		s.Engine.Refusing = message.AsError(e.Refusing).Text
	}
	for name, addrs := range d.addrs {
		for _, a := range addrs {
			s.Listeners[name] = append(s.Listeners[name], a.String())
		}
	}
	for _, app := range c.Disabled {
		s.Config.Disabled = append(s.Config.Disabled, app.Name)
	}
	return s
}

// absolute returns a path as who works in another folder can use it.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path // there is no working directory any more
}

// summary is how the daemon is, in one line: what is wrong first.
func (d *Daemon) summary() string {
	c := d.Config()
	text := fmt.Sprintf("%s, %s, %s lagging", count(d.Clients(), "client"), count(countApps(c), "app"), grouped(d.hub.Lagging()))
	if len(c.Disabled) > 0 {
		first := c.Disabled[0].Err[0]
		text = fmt.Sprintf("%s disabled: %s: %s; %s", count(len(c.Disabled), "app"), place(first), first.Text, text)
	}
	if v := d.verdict.Load(); v != nil && !v.InForce && len(v.Problems) > 0 {
		text = fmt.Sprintf("reload refused: %s: %s; %s", place(v.Problems[0]), v.Problems[0].Text, text)
	}
	if e := d.engine.Status(); e.Refusing != nil {
		text = fmt.Sprintf("refusing publishes: %s; %s", message.AsError(e.Refusing).Text, text)
	}
	return text
}

// countApps returns how many applications the rules and tables name.
func countApps(c *config.Config) int { return len(appNames(c)) }

func appNames(c *config.Config) map[string]bool {
	names := map[string]bool{}
	for _, r := range c.Rules {
		if name, ok := r.Match.App(); ok {
			names[name] = true
		}
	}
	for _, app := range c.Apps {
		names[app.Name] = true
	}
	return names
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return grouped(n) + " " + what
}

// grouped returns a number as people read it: 10,412.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

package local

import (
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

var _ engine.Meter = (*Engine)(nil)

// A meter counts what the bounded applications have stored. Where none is bounded
// it costs nothing. Engine.mu guards it, but for bounds, which are never changed
// once they are there.
type meter struct {
	bounds map[string]int64
	stored map[string]int64
}

// Stored implements engine.Meter.
func (e *Engine) Stored(app string) (bytes int64) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if _, counted := e.meter.bounds[app]; counted {
		return e.meter.stored[app]
	}
	for _, c := range e.channels {
		if c.name.App() == app {
			bytes += c.size()
		}
	}
	return bytes
}

// SetQuotas implements engine.Meter.
func (e *Engine) SetQuotas(bytes map[string]int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.meter = meter{bounds: bytes, stored: make(map[string]int64, len(bytes))}
	for _, c := range e.channels {
		c.counted = 0
		e.count(c)
	}
}

// Channels returns the names of those that have a message left, in no order.
func (e *Engine) Channels() []channel.Name {
	e.mu.RLock()
	defer e.mu.RUnlock()
	names := make([]channel.Name, 0, len(e.channels))
	for name, c := range e.channels {
		if c.size() > 0 {
			names = append(names, name)
		}
	}
	return names
}

// size is how much the channel has stored. Engine.mu is held.
func (c *channelState) size() int64 {
	n := c.stream.Bytes()
	if c.ring != nil {
		n += c.ring.bytes
	}
	return n
}

// count takes what has changed of a channel into its application's sum. Engine.mu
// is held.
func (e *Engine) count(c *channelState) {
	app := c.name.App()
	if _, bounded := e.meter.bounds[app]; bounded {
		n := c.size()
		e.meter.stored[app] += n - c.counted
		c.counted = n
	}
}

// judgeQuotas says which application may not store so much more, nil if all may.
// What was staged before is not shown yet, and counts.
func (e *Engine) judgeQuotas(c *commit, s *submit) *message.Error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if len(e.meter.bounds) == 0 {
		return nil
	}
	more := make(map[string]int64)
	for i := range s.msgs {
		app := s.msgs[i].Channel.App()
		bound, bounded := e.meter.bounds[app]
		if !bounded {
			continue
		}
		more[app] += int64(s.msgs[i].Size())
		if e.meter.stored[app]+c.staged[app]+more[app] > bound {
			return overQuota(app, bound, i)
		}
	}
	for app, n := range more {
		if c.staged == nil {
			c.staged = make(map[string]int64)
		}
		c.staged[app] += n
	}
	return nil
}

func overQuota(app string, bound int64, index int) *message.Error {
	err := message.Errorf(message.Unavailable, "application %s has stored all of its %d bytes (app.%[1]s.quota.stored); try again when retention has made room", app, bound)
	err.Index = index
	return err.Because(engine.ErrQuota)
}

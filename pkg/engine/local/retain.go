package local

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/seglog"
)

// trim applies a channel's rule: what it does not cover is not readable any more.
func (e *Engine) trim(c *channelState) {
	e.mu.RLock()
	rule, inMemory, counted := c.rule, c.ring != nil, len(e.meter.bounds) > 0
	e.mu.RUnlock()
	lim := seglog.Limits{Before: e.before(rule)}
	if !rule.Memory {
		lim.Count, lim.Bytes = rule.Messages, rule.Bytes
	}
	if lim != (seglog.Limits{}) {
		if err := c.stream.Trim(lim); err != nil {
			e.log.WithError(err).WithField("channel", c.name).Warn("a channel could not be trimmed; it will be tried again")
		}
	}
	if !inMemory && !counted {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if inMemory {
		c.ring.trim(rule, lim.Before)
	}
	e.count(c)
}

// before returns the time before which a rule covers nothing; 0 if there is none.
func (e *Engine) before(rule engine.Rule) int64 {
	if rule.Age <= 0 {
		return 0
	}
	now := e.clock.look()
	if now.doubt {
		return 0
	}
	return max(1, now.wall-milliseconds(rule.Age))
}

// expireNow trims by age what is about to be read.
func (e *Engine) expireNow(channels []channel.Name) {
	for _, name := range channels {
		e.mu.RLock()
		c := e.channels[name]
		aged := c != nil && c.rule.Age > 0
		e.mu.RUnlock()
		if aged {
			e.trim(c)
		}
	}
}

// expire drops what time alone makes old, and lets the log free its disk space.
func (e *Engine) expire() {
	now := e.look().due()
	e.seq.keys.forget(now)
	e.seq.upkeep.do(func() {
		e.seq.sessions.expire(now)
		for _, c := range e.aged() {
			e.trim(c)
		}
		e.forgetChannels()
	})
	if now > 0 && e.seg.Failed() == nil {
		if err := e.seg.Collect(); err != nil && !errors.Is(err, seglog.ErrFull) {
			e.refuse(failing(err))
		}
	}
}

// A pace keeps what may take long from taking more than a share of the time.
type pace struct{ next time.Time }

// paceShare is that share, one in so many.
const paceShare = 20

// do runs f, unless that is too soon after the last time.
func (p *pace) do(f func()) {
	begin := time.Now()
	if begin.Before(p.next) {
		return
	}
	f()
	end := time.Now()
	p.next = end.Add(paceShare * end.Sub(begin))
}

// forgetChannels forgets channels of which nothing is left, those that ended first,
// where there are more of them than are to be remembered.
func (e *Engine) forgetChannels() {
	if e.seq.held != nil { // some may have an offset that nobody sees yet
		return
	}
	ended := e.ended()
	n := len(ended) - e.opts.ChannelCount
	if n <= 0 {
		return
	}
	slices.SortFunc(ended, func(a, b *channelState) int { return cmp.Compare(a.last, b.last) })
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range ended[:n] {
		if e.seg.Forget(string(c.name)) {
			delete(e.channels, c.name)
			e.forgotten = max(e.forgotten, c.last)
		}
	}
}

// ended returns the channels that have no message left; none, if all channels
// together are not too many.
func (e *Engine) ended() []*channelState {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if len(e.channels) <= e.opts.ChannelCount {
		return nil
	}
	var all []*channelState
	for _, c := range e.channels {
		if _, n := c.stream.Extent(); n == 0 && (c.ring == nil || len(c.ring.live()) == 0) {
			all = append(all, c)
		}
	}
	return all
}

// aged returns the channels whose rule has an age.
func (e *Engine) aged() []*channelState {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var all []*channelState
	for _, c := range e.channels {
		if c.rule.Age > 0 && c.last > 0 {
			all = append(all, c)
		}
	}
	return all
}

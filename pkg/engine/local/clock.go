package local

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// A clock is the wall clock, watched for jumps by the monotonic one. After a jump it is
// in doubt for a grace, so that somebody has time to set it right; meanwhile nothing is
// too old. Any goroutine may look at it.
//
// Messages and sessions are stored with Engine.time instead, which follows every jump,
// and never runs backwards.
type clock struct {
	now   func() time.Time
	wrong func() time.Duration // nil: not at all
	grace time.Duration
	log   logrus.FieldLogger

	mu      sync.Mutex
	wall    int64     // at the last look
	real    time.Time // then, with the monotonic reading
	doubt   bool
	moved   time.Duration // by jumps, since it was last believed
	set     time.Duration // of that what was seen to happen: not what a start found
	until   time.Time     // when it is believed again, if it does not jump back before
	latest  int64         // the greatest since it was last believed
	believe int           // how often it was believed again
	jumped  int64         // what it showed behind the last jump
	ahead   int64         // how far it had been set ahead when it was last believed, in milliseconds; 0: it was not
}

// A look is what the clock says at one moment, in Unix milliseconds.
type look struct {
	wall    int64
	latest  int64 // never less than before, unless it turned out to be wrong
	doubt   bool
	believe int // changes when nothing is known to be later than wall
	// What was stored before it showed jumped may be younger than it looks, by ahead: who
	// knows whether it was behind, or is right and time has passed?
	jumped, ahead int64
}

// due returns the time by which a session or a key is too old or not; 0, so that none is,
// while the clock is in doubt. What was too old once stays so.
func (l look) due() int64 {
	if l.doubt {
		return 0
	}
	return l.latest
}

// jump is how far the wall clock may differ from the monotonic one between two looks, of
// which there is one a second at least.
const jump = 5 * time.Minute

func newClock(opts *Options) *clock {
	return &clock{now: opts.Now, wrong: opts.wrong, grace: opts.Grace, log: opts.Logger}
}

func (c *clock) read() (wall int64, real time.Time) {
	real = c.now()
	shown := real
	if c.wrong != nil {
		shown = real.Add(c.wrong())
	}
	return shown.UnixMilli(), real
}

// begin begins the watch. Where the clock is far from stored, the latest time that was,
// either nobody was here for long or it is wrong: who waits a little is right in both
// cases. No key is later than key.
func (c *clock) begin(stored, key int64) {
	c.wall, c.real = c.read()
	c.latest = max(c.wall, key)
	switch off := time.Duration(c.wall-stored) * time.Millisecond; {
	case stored == 0:
	case off.Abs() > jump:
		c.doubt, c.moved, c.until = true, off, c.real.Add(c.grace)
	default:
		c.latest = max(c.latest, stored)
	}
}

func (c *clock) look() look {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, real := c.read()
	off := time.Duration(wall-c.wall)*time.Millisecond - real.Sub(c.real)
	c.wall, c.real = wall, real
	if off.Abs() > jump {
		c.doubt, c.moved, c.until = true, c.moved+off, real.Add(c.grace)
		c.set, c.jumped = c.set+off, wall
		c.log.WithField("by", off.Round(time.Second)).Warn("the clock jumped; nothing expires for a while")
	}
	if back := c.moved.Abs() <= jump; c.doubt && (back || !real.Before(c.until)) {
		c.ahead = 0
		if !back {
			c.ahead = max(0, min(c.moved, c.set).Milliseconds())
		}
		c.doubt, c.moved, c.set, c.latest = false, 0, 0, wall
		c.believe++
	}
	c.latest = max(c.latest, wall)
	return look{wall, c.latest, c.doubt, c.believe, c.jumped, c.ahead}
}

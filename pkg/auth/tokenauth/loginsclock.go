package tokenauth

import "time"

// A loginsClock says how late it is for sure. By a clock that is ahead for a while, and
// is set right, nobody may be forgotten who was logged out: their tokens would be good
// again. So the time until which something was forgotten goes ahead no faster than twice
// the monotonic clock, from the latest time that is in the file, and what is over is kept
// for forgetMargin longer: a clock may be wrong for that long, by whatever it is. Twice,
// because a stop of the daemon counts as no time, and is to be made up for.
//
// Logins.writing guards it.
type loginsClock struct {
	now   func() time.Time
	wrong func() time.Duration // of tests: how far the wall clock is off; nil: not at all

	looked time.Time // with the monotonic reading
	sure   int64     // Unix seconds; 0: nothing is known, and the wall clock is believed
}

// forgetMargin is for how long more is remembered what is over.
const forgetMargin = 24 * time.Hour

// wall is what the wall clock says.
func (c *loginsClock) wall() time.Time {
	now := c.now()
	if c.wrong != nil {
		now = now.Add(c.wrong())
	}
	return now
}

// seen takes a time from the file.
func (c *loginsClock) seen(sure int64) { c.sure = max(c.sure, sure) }

// look looks at the clocks. It is to be done now and then.
func (c *loginsClock) look() {
	now, wall := c.now(), c.wall().Unix()
	switch {
	case c.sure == 0:
		c.sure = wall
	case !c.looked.IsZero():
		passed := int64(now.Sub(c.looked) / time.Second)
		c.sure = max(c.sure, min(wall, c.sure+2*passed))
		now = c.looked.Add(time.Duration(passed) * time.Second) // the rest counts next time
	}
	c.looked = now
}

// over returns the time at which every login that ended before it may be forgotten, in
// Unix seconds.
func (c *loginsClock) over() int64 {
	return min(c.sure, c.wall().Unix()) - int64((MaxLeeway+forgetMargin)/time.Second)
}

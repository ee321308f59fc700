package stomp

import (
	"time"

	"github.com/orbitd/orbitd/pkg/message"
)

// tick looks at the connection's times, about once a second.
func (c *conn) tick(now time.Time) {
	if c.waits() {
		c.reading = now.UnixNano()
	}
	c.allow()
	stalled := c.rc.Stalled()
	switch {
	case !stalled.IsZero() && now.Sub(stalled) >= stallTimeout:
		c.leave()
		c.rc.CloseNow()
	case c.request != nil && !c.busy && now.Sub(c.request.began) >= c.server().limits.LoginTimeout:
		c.fail(message.Errorf(message.BadRequest, "no CONNECT in time (session.login_timeout)"), nil)
	case c.expects > 0 && c.silence(now, c.rc.LastRead().UnixNano()) >= 2*c.expects:
		c.fail(message.Errorf(message.BadRequest, "no heart-beat for %v, twice what was agreed on", 2*c.expects), nil)
	case c.began != 0 && c.silence(now, c.began) >= frameTimeout:
		c.slow("frame")
	case c.socket != nil && c.socket.partial() && c.silence(now, c.socket.began) >= frameTimeout:
		c.slow("message")
	case c.who.Expired(now):
		c.fail(message.Errorf(message.Unauthorized, "the login has expired; connect again"), nil)
	case c.beat > 0 && stalled.IsZero() && now.Add(3*time.Second/2).Sub(c.sent) >= c.beat:
		c.write(func(dst []byte) []byte { return append(dst, '\n') })
	}
}

// silence returns for how long the client could have sent what is missing since then, in
// Unix nanoseconds: while nothing was read, it could not.
func (c *conn) silence(now time.Time, since int64) time.Duration {
	return time.Duration(now.UnixNano() - max(since, c.reading))
}

// slow ends the connection of a client that has not completed what it has begun.
func (c *conn) slow(what string) {
	err := message.Errorf(message.BadRequest, "a %s was not completed within %v", what, frameTimeout)
	if c.socket != nil {
		c.socket.violated(c, err)
		return
	}
	c.fail(err, nil)
}

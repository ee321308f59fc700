package stomp

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// connect agrees on a version and heart-beats, and proves who the client is. The
// header host is not looked at: all applications share the connection.
func (c *conn) connect(f *frame.Frame) {
	version, ok := negotiate(f)
	if !ok {
		c.write(func(dst []byte) []byte {
			return frame.Append(dst, frame.V10, frame.Error, []byte("this server speaks STOMP 1.0, 1.1 and 1.2\n"),
				"message", "no common version", "code", string(message.BadRequest), "version", "1.0,1.1,1.2", "content-type", errorType)
		})
		c.end()
		return
	}
	beat, expects, err := heartBeat(f)
	if err != nil {
		c.fail(err, nil)
		return
	}
	if version == frame.V10 {
		beat, expects = 0, 0 // there are none
	}
	c.client = f.Text("client-id")
	brings := auth.Credentials{User: f.Text("login"), Password: f.Text("passcode"), Token: f.Text("token")}
	r := c.request
	if c.socket == nil {
		r.brings, r.from = auth.Credentials{Certificates: c.rc.Certificates()}, c.rc.RemoteAddr().Addr()
	}
	if brings.Empty() {
		brings = r.brings
	}
	brings.From = r.from
	c.prove(brings, func(who *broker.Who) {
		c.who, c.request = who.On(r.page), nil
		c.welcome(version, beat, expects)
	})
}

// prove calls done, on the loop, with who bears the credentials. What was proven
// before a reload, and is not used yet, is proven again.
func (c *conn) prove(brings auth.Credentials, done func(*broker.Who)) {
	if brings.Empty() {
		done(nil)
		return
	}
	c.busy = true
	asOf := c.server().rechecks.Load()
	b := c.server().broker
	b.Ask(func() {
		id, err := b.Authenticate(context.Background(), brings)
		c.part.loop.Post(func() {
			switch {
			case c.closed:
				return
			case err != nil:
				auth.LogRefused(c.server().log, brings.From, err)
				c.fail(err, nil)
			case asOf != c.server().rechecks.Load():
				c.prove(brings, done)
				return
			default:
				done(broker.NewWho(id))
			}
			c.busy = false
			c.proceed()
		})
	})
}

func (c *conn) welcome(v frame.Version, beat, expects time.Duration) {
	c.connected = true
	c.rc.SetUrgent(true)
	c.decoder.Version = v
	c.decoder.Limits = frame.Limits{Headers: maxHeaders, Line: maxLine, Body: c.server().broker.MaxMessage()}
	c.beat, c.expects = beat, expects
	if _, user := c.who.Owner(); user != "" && c.socket == nil { // no browser gets here
		c.rate = int32(c.server().limits.BackendRate)
	}
	headers := []string{"version", v.String(), "session", rand.Text(), "server", "orbitd/" + c.server().version}
	if v != frame.V10 {
		headers = append(headers, "heart-beat", fmt.Sprintf("%d,%d", leastBeat.Milliseconds(), wantedBeat.Milliseconds()))
	}
	c.write(func(dst []byte) []byte { return frame.Append(dst, v, frame.Connected, nil, headers...) })
}

// negotiate returns the highest version that both sides have. A client that names
// none is one of 1.0.
func negotiate(f *frame.Frame) (best frame.Version, ok bool) {
	offered, named := f.Get("accept-version")
	if !named {
		return frame.V10, true
	}
	for text := range strings.SplitSeq(string(offered), ",") {
		for _, v := range []frame.Version{frame.V10, frame.V11, frame.V12} {
			if strings.TrimSpace(text) == v.String() {
				best = max(best, v)
			}
		}
	}
	return best, best != frame.None
}

// heartBeat returns how often this side has to send something, and how often the
// client will; 0 is never. Each is the greater of what the two sides said.
func heartBeat(f *frame.Frame) (beat, expects time.Duration, err error) {
	text, ok := f.Get("heart-beat")
	if !ok {
		return 0, 0, nil
	}
	sends, wants, _ := strings.Cut(string(text), ",")
	cx, err1 := strconv.ParseUint(strings.TrimSpace(sends), 10, 31)
	cy, err2 := strconv.ParseUint(strings.TrimSpace(wants), 10, 31)
	if err1 != nil || err2 != nil {
		return 0, 0, message.Errorf(message.BadRequest, "heart-beat %.40q is not two numbers of milliseconds", text)
	}
	if cx > 0 {
		expects = max(time.Duration(cx)*time.Millisecond, wantedBeat)
	}
	if cy > 0 {
		beat = max(time.Duration(cy)*time.Millisecond, leastBeat)
	}
	return beat, expects, nil
}

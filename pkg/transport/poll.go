package transport

import (
	"net/http"
	"strconv"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// PollPath is where polls are answered.
const PollPath = "/v1/poll"

// How long a poll is held, in seconds.
const (
	maxWait     = 55
	defaultWait = 25
)

// A hold is what makes a down a poll: it queues all that is to be said and sends
// it as one answer, which ends the session's connection. Nothing is delivered by
// that: the next poll says what has arrived.
type hold struct {
	until     time.Time
	queued    int                       // bytes, without the reply to the connect
	limit     int                       // from so many on it is full
	keep      bool                      // the HTTP connection serves on behind the answer
	something bool                      // is queued that the client waits for
	named     map[channel.Name]struct{} // by the client: it knows where it stands
	replays   int                       // that have not been through yet
}

// servePoll answers a request whose body is commands when there is something.
func (s *Server) servePoll(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.openDown(w, r, ndjson, &down{shape: lines{}, hold: &hold{
		until: s.now().Add(wait), limit: s.sessions.Limits().WindowBytes + maxCommands, keep: r.ProtoAtLeast(1, 1) && !r.Close && w.Header().Get("Connection") == "",
	}})
}

// waitOf returns how long the client wants to wait.
func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return defaultWait * time.Second, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n > maxWait {
		return 0, message.Errorf(message.BadRequest, "wait is a number of seconds from 0 to %d", maxWait)
	}
	return time.Duration(n) * time.Second, nil
}

// connected notes of which subscriptions the client knows where they stand. The
// answer to its connect is news where a subscription was refused, and where there
// is a new session and nothing that could come.
func (h *hold) connected(c *protocol.Command, r *protocol.Connected) {
	h.named = make(map[channel.Name]struct{}, len(c.Last))
	for _, m := range c.Last {
		h.named[m.Channel] = struct{}{}
	}
	for i := range r.Subs {
		if r.Subs[i].Err == nil {
			h.replays++
		}
	}
	h.something = h.replays < len(r.Subs) || h.replays == 0 && !r.Resumed
}

// replayed notes that a subscription has caught up. Where it began is news to a
// client that has not named it.
func (h *hold) replayed(name channel.Name) {
	h.replays--
	if _, ok := h.named[name]; !ok {
		h.something = true
	}
}

// full reports whether a poll has queued as much as it may: a window of messages, and as
// many bytes of answers as a body has of commands. Nothing takes any of it before the end,
// so from then on it is sent no more messages, a history is refused, and no body that comes
// by another request is begun. Other answers are short: the commands and their rate bound
// them.
func (d *down) full() bool { return d.hold != nil && d.hold.queued >= d.hold.limit }

var errFull = message.Errorf(message.RateLimited, "the answer to this poll has as much as it may (session.window_bytes and 1 MiB); ask again in the next one")

// over reports whether the answer is complete: all commands are answered, nothing is
// being read, and there is something, or no room for more, or the time is over. What is being read is
// waited for, because the next poll would ask for it anew: a client with one channel
// that is read and others of which there is always something would never get it.
func (d *down) over() bool {
	h := d.hold
	switch {
	case !d.exchange.idle() || d.exchange.session != nil && d.exchange.session.Reading():
		return false
	case h.something, d.full():
		return true
	}
	return h.replays <= 0 && !d.part.server.now().Before(h.until)
}

// answer sends all that is queued and ends the session's connection.
func (d *down) answer() {
	d.closed = true
	d.exchange.close()
	size := 0
	for _, b := range d.out {
		size += len(b)
	}
	d.header.Set("Content-Length", strconv.Itoa(size))
	if d.blocked = d.wire.write(d.begun(d.out)...); !d.blocked {
		d.wire.finish(d.hold.keep)
	}
	d.out = nil
}

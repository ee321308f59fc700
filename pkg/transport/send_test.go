package transport

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/session"
)

// sendAs sends commands for a session, and returns the status and the body.
func (c *talk) sendAs(session, secret, body string, header ...string) (int, string) {
	c.t.Helper()
	answer, err := c.post(SendPath, body, append([]string{sessionHeader, session, secretHeader, secret}, header...)...)
	must(c.t, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	must(c.t, err)
	return answer.StatusCode, string(b)
}

// Only the session's user, by its secret, may send to it; nobody else learns
// whether there is one.
func TestSendIsTheOwners(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		c, _ := r.on(w, `"token":"alice"`)
		if w.transport == PollPath {
			go func() { _, _ = c.text() }() // is held
			r.connected(1)
		}
		const command = `{"id":5,"op":"publish","channel":"/a/b","data":1}`
		alice := []string{"Authorization", "Bearer alice"}
		session, secret := c.session, c.secret
		d := r.talk(way{StreamPath, w.over}, nil)
		for _, s := range []struct {
			session, secret string
			header          []string
			status          int
		}{
			{session, "x", alice, 410},
			{session, secret, nil, 410},
			{session, secret, []string{"Authorization", "Bearer bob"}, 410},
			{session, secret, []string{"Authorization", "Bearer wrong"}, 401},
			{session, "", alice, 400},
			{"x", secret, alice, 410},
			{"AAAAAAAAAAAAAAAAAAAAAA", secret, alice, 410},
		} {
			status, text := d.sendAs(s.session, s.secret, command, s.header...)
			if status != s.status || status == 410 && !strings.Contains(text, `{"code":"session_expired","message":"there is no such session (any more); connect anew"}`) {
				r.t.Errorf("%+v: %d %s", s, status, text)
			}
		}
		if got := r.engine.Status().Visible; got != 1 {
			r.t.Fatalf("something was published: %d", got)
		}
		if w.transport == PollPath {
			return // its secret is of the poll before
		}
		if status, text := d.sendAs(session, secret, command, alice...); status != http.StatusNoContent {
			r.t.Fatalf("%d %s", status, text)
		}
		c.want(`{"re":5,"offset":2}`)
	})
}

// What a page has sent does not reach the one that has taken its name meanwhile: the numbers
// of its commands are the other's, too, which would take the answers for its own.
func TestSendAfterTheNameWasTaken(t *testing.T) {
	const fields = `"token":"alice","client":"phone"`
	for _, w := range []way{{StreamPath, bare}, {SSEPath, bare}} {
		r := newRig(t, rigOptions{})
		c, _ := r.on(w, fields)
		other, _ := r.on(way{Path, bare}, fields)
		status, text := c.sendAs(c.session, c.secret, `{"id":2,"op":"publish","channel":"/a/b","data":1}`, "Authorization", "Bearer alice")
		if status != http.StatusGone || !strings.Contains(text, `"session_expired"`) {
			t.Errorf("%d %s", status, text)
		}
		other.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		other.want(`{"re":2,"offset":1}`)
	}
}

// An acknowledgement is taken also while its client reads nothing, as one does that
// waits for the answer to it first; others wait.
func TestAcknowledgementsPassAFullConnection(t *testing.T) {
	for _, w := range []way{{StreamPath, bare}, {SSEPath, bare}, {StreamPath, sealed}, {StreamPath, second}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{loops: 1, session: session.Limits{Window: 10_000, WindowBytes: 64 << 20}})
			for range 300 { // more than the sockets hold
				r.publish("/a/b", strings.Repeat("x", 60_000))
			}
			c, _ := r.on(w, "")
			c.send(`{"id":2,"op":"subscribe","channel":"/a/b","after":0}`)
			r.blocked()
			for i := range 3 {
				if status, text := c.sendAs(c.session, c.secret, fmt.Sprintf(`{"op":"ack","last":{"/a/b":%d}}`, i+2)); status != http.StatusNoContent {
					t.Fatalf("%d %s", status, text)
				}
			}
		})
	}
}

// blocked waits until the only connection takes no more.
func (r *rig) blocked() {
	r.t.Helper()
	part, blocked := r.server.parts[0], make(chan bool, 1)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		part.loop.Post(func() {
			is := false
			for c := range part.clients {
				is = is || c.(carrier).Blocked()
			}
			blocked <- is
		})
		if <-blocked {
			return
		}
	}
	r.t.Fatal("the connection takes everything")
}

// A session without a connection carries nothing out, and says so.
func TestSendWithoutConnection(t *testing.T) {
	r := newRig(t, rigOptions{})
	c, _ := r.on(way{StreamPath, bare}, "")
	c.body.Close()
	c.client.CloseIdleConnections()
	r.connected(0)
	d := r.talk(way{StreamPath, bare}, nil)
	if status, text := d.sendAs(c.session, c.secret, `{"id":5,"op":"publish","channel":"/a/b","data":1}`); status != http.StatusServiceUnavailable || !strings.Contains(text, `"unavailable"`) {
		t.Errorf("%d %s", status, text)
	}
	if got := r.engine.Status().Visible; got != 1 {
		t.Errorf("something was published: %d", got)
	}
}

// A client that is beyond its rate waits, as many bodies as there is room for; the
// others are refused. What was taken is carried out, each once.
func TestSendsWait(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 20, CommandBurst: 1}})
	c, _ := r.on(way{StreamPath, bare}, "")
	const sends = 2 * maxDeliveries
	statuses := make(chan int, sends)
	for i := range sends {
		go func() {
			status, _ := c.sendAs(c.session, c.secret, fmt.Sprintf(`{"id":%d,"op":"publish","channel":"/a/b","data":%d}`, i+2, i))
			statuses <- status
		}()
	}
	taken := 0
	for range sends {
		switch status := <-statuses; status {
		case http.StatusNoContent:
			taken++
		case http.StatusTooManyRequests:
		default:
			t.Fatalf("status %d", status)
		}
	}
	if taken < maxDeliveries || taken == sends {
		t.Errorf("%d of %d were taken", taken, sends)
	}
	for range taken {
		if o := c.next(); o["offset"] == nil {
			t.Fatalf("got %v", o)
		}
	}
	if n := int(r.engine.Status().Visible) - 1; n != taken {
		t.Errorf("%d were stored, %d taken", n, taken)
	}
}

// A body that is too large, or that never ends, is refused or cut off.
func TestSendIsBounded(t *testing.T) {
	r := newRig(t, rigOptions{})
	c, _ := r.on(way{StreamPath, bare}, "")
	if status, text := c.sendAs(c.session, c.secret, strings.Repeat(" ", maxCommands+(64<<10)+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", status, text)
	}
	if status, text := c.sendAs(c.session, c.secret, " \n "); status != http.StatusBadRequest {
		t.Errorf("%d %s", status, text)
	}
	var many strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&many, "{\"id\":%d,\"op\":\"publish\",\"channel\":\"/a/b\",\"data\":%d}\n", i+2, i)
	}
	start := time.Now()
	if status, text := c.sendAs(c.session, c.secret, many.String()); status != http.StatusNoContent {
		t.Errorf("%d %s after %v", status, text, time.Since(start))
	}
	seen := map[any]bool{}
	for range 3000 {
		o := c.next()
		if o["offset"] == nil || seen[o["re"]] {
			t.Fatalf("got %v", o)
		}
		seen[o["re"]] = true
	}
}

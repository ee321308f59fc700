package transport

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/session"
)

// mostOfPoll is how large the answer to a poll may be here: what it may have, a history
// or a page of the log more, and refusals.
const mostOfPoll = 1<<20 + maxCommands + 256<<10 + 600<<10

// answered makes a poll and returns its objects, by their field re, and its size.
func (c *talk) answered(wait int, commands string) (replies []object, size int) {
	c.t.Helper()
	answer, err := c.post(fmt.Sprintf("%s?wait=%d", PollPath, wait), commands)
	must(c.t, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	must(c.t, err)
	for line := range protocol.Lines(b) {
		replies = append(replies, decode(c.t, string(line)))
	}
	return replies, len(b)
}

// commands repeats a command, with ids from 2 on.
func commands(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i+2)
	}
	return b.String()
}

// A poll holds back no more than it may, whatever its commands ask for: histories beyond
// that are refused for now, all else is carried out.
func TestPollIsBounded(t *testing.T) {
	const histories = 2000
	r := newRig(t, rigOptions{})
	for range 256 {
		r.publish("/a/b", strings.Repeat("x", 1000))
	}
	c := r.talk(way{PollPath, bare}, nil)
	objects, size := c.answered(0, `{"id":1,"op":"connect"}`+"\n"+
		commands(histories, `{"id":%d,"op":"history","channel":"/a/b","limit":256}`)+
		`{"id":9999,"op":"publish","channel":"/a/c","data":1}`)
	if size > mostOfPoll {
		t.Errorf("the answer has %d bytes", size)
	}
	given, refused := 0, 0
	for i, o := range objects[1 : 1+histories] {
		e, _ := o["error"].(map[string]any)
		switch {
		case o["re"] != float64(i+2):
			t.Fatalf("answer %d is %v", i, o)
		case o["messages"] != nil && refused == 0:
			given++
		case e["code"] != "rate_limited":
			t.Fatalf("got %v", o)
		default:
			refused++
		}
	}
	if given == 0 || refused == 0 {
		t.Errorf("%d histories were given, %d refused", given, refused)
	}
	if o := objects[1+histories]; o["offset"] == nil {
		t.Errorf("behind them, got %v", o)
	}
	c.connected(objects[0])
	if objects, _ = c.answered(0, c.connect()+"\n"+commands(1, `{"id":%d,"op":"history","channel":"/a/b"}`)); objects[1]["messages"] == nil {
		t.Errorf("the next poll has %v", objects[1])
	}
}

// The same for what comes by other requests while the poll is held: bodies that have not
// been begun when it is full find no connection.
func TestPollIsBoundedForSends(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 1e6}})
	for range 256 {
		r.publish("/a/b", strings.Repeat("x", 1000))
	}
	c, _ := r.on(way{PollPath, bare}, "")
	held := make(chan int)
	go func() {
		_, size := c.answered(20, c.connect())
		held <- size
	}()
	r.connected(1)
	const bodies = 8
	statuses := make(chan int, bodies)
	for range bodies {
		go func() {
			status, _ := c.sendAs(c.session, c.secret, commands(200, `{"id":%d,"op":"history","channel":"/a/b","limit":256}`))
			statuses <- status
		}()
	}
	if size := <-held; size > mostOfPoll {
		t.Errorf("the answer has %d bytes", size)
	}
	taken := 0
	for range bodies {
		if status := <-statuses; status == http.StatusNoContent {
			taken++
		} else if status != http.StatusServiceUnavailable {
			t.Errorf("status %d", status)
		}
	}
	if taken == 0 || taken == bodies {
		t.Errorf("%d bodies were taken", taken)
	}
}

// Nor do subscriptions bring more that are begun anew, with what is in memory: it comes
// with the next polls.
func TestPollIsBoundedForReplays(t *testing.T) {
	const messages = 10
	r := newRig(t, rigOptions{loops: 1})
	other, _ := r.on(way{StreamPath, bare}, `"last":{"/a/b":0}`)
	other.want(`{"ch":"/a/b","at":1}`)
	for i := range messages {
		r.publish("/a/b", fmt.Sprint(i, strings.Repeat("x", 10_000)))
		other.next()
	}
	c := r.talk(way{PollPath, bare}, nil)
	objects, size := c.answered(0, `{"id":1,"op":"connect"}`+"\n"+
		commands(100, `{"id":%d,"op":"subscribe","channel":"/a/b","after":2,"epoch":"`+other.epoch+`"}`))
	if size > mostOfPoll {
		t.Errorf("the answer has %d bytes", size)
	}
	c.connected(objects[0])
	for at := 2.0; at <= messages; {
		c.last["/a/b"] = uint64(at)
		objects, _ = c.answered(0, c.connect())
		c.connected(objects[0])
		for _, o := range objects[1:] {
			if o["o"] == nil {
				continue
			}
			if at++; o["o"] != at {
				t.Fatalf("%v behind %v", o["o"], at-1)
			}
		}
	}
}

// A poll is also answered when it is full of what is no news by itself: where each of very
// many subscriptions stands. The rest comes with the next polls.
func TestPollIsFullOfNoNews(t *testing.T) {
	const channels = 4000
	r := newRig(t, rigOptions{loops: 1, message: 2 << 20, session: session.Limits{Channels: channels, WindowBytes: 1}})
	c, _ := r.on(way{PollPath, bare}, "")
	left := map[string]bool{}
	for i := range channels {
		name := fmt.Sprintf("/a/%04d%s", i, strings.Repeat("x", 248))
		c.last[name], left[name] = 1, true
	}
	for polls := 0; len(left) > 0; polls++ {
		objects, size := c.answered(1, c.connect())
		if polls > 3 || objects[0]["error"] != nil {
			t.Fatalf("poll %d begins with %.200v and has %d bytes; %d channels are left", polls, objects[0], size, len(left))
		}
		c.connected(objects[0])
		for _, o := range objects[1:] {
			if o["at"] != nil {
				delete(left, o["ch"].(string))
			}
		}
	}
}

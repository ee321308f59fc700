package transport

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// An archive is an engine that gives no history until it may, and notes how deep in
// calls it was asked for its status, which the answers to subscribe have.
type archive struct {
	engine.Engine
	closed  chan struct{}
	open    func() // closes closed
	deepest atomic.Int64
}

func (a *archive) History(ctx context.Context, ch channel.Name, before message.Offset, limit engine.Limit) (engine.Batch, error) {
	<-a.closed
	return a.Engine.History(ctx, ch, before, limit)
}

func (a *archive) Status() engine.Status {
	depth := int64(runtime.Callers(0, make([]uintptr, 1000)))
	a.deepest.Store(max(a.deepest.Load(), depth))
	return a.Engine.Status()
}

// busy is a stream whose connection waits for a history, until the archive is open, and
// with it the lines behind it in its body.
func busy(t *testing.T, lines string) (r *rig, c *talk, a *archive) {
	t.Helper()
	a = &archive{closed: make(chan struct{})}
	a.open = sync.OnceFunc(func() { close(a.closed) })
	r = newRig(t, rigOptions{loops: 1, engine: func(e engine.Engine) engine.Engine { a.Engine = e; return a }})
	c, _ = r.on(way{StreamPath, bare}, "")
	taken := make(chan struct{})
	t.Cleanup(func() { a.open(); <-taken })
	go func() {
		defer close(taken)
		c.sendAs(c.session, c.secret, `{"id":2,"op":"history","channel":"/a/b"}`+"\n"+lines)
	}()
	r.queued(1)
	return r, c, a
}

// queued waits until so many bodies wait for the only connection.
func (r *rig) queued(n int) {
	r.t.Helper()
	part, deliveries := r.server.parts[0], make(chan int)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		part.loop.Post(func() {
			for c := range part.clients {
				deliveries <- len(c.(carrier).commands().queue().deliveries)
			}
		})
		if <-deliveries == n {
			return
		}
	}
	r.t.Fatalf("there are never %d bodies that wait", n)
}

// Bodies are carried out in their order also where their commands are answered at
// once, and each is taken when all of its commands have been begun.
func TestSendsKeepTheirOrder(t *testing.T) {
	r, c, a := busy(t, "")
	status := make(chan int, 2)
	for i, body := range []string{
		`{"id":3,"op":"subscribe","channel":"/a/c"}` + "\n" + `{"id":4,"op":"publish","channel":"/a/b","data":1}`,
		`{"id":5,"op":"publish","channel":"/a/b","data":2}`,
	} {
		go func() {
			s, _ := c.sendAs(c.session, c.secret, body)
			status <- s
		}()
		r.queued(i + 2)
	}
	a.open()
	c.want(`{"re":2,"messages":[]}`)
	c.want(`{"re":3,"offset":1}`)
	c.want(`{"re":4,"offset":2}`)
	c.want(`{"re":5,"offset":3}`)
	for range 2 {
		if s := <-status; s != http.StatusNoContent {
			t.Errorf("status %d", s)
		}
	}
}

// Commands that wait and are answered at once are carried out one behind the other,
// not one within the other.
func TestWaitingCommandsDoNotNest(t *testing.T) {
	const commands = 9000
	var lines strings.Builder
	for i := range commands {
		fmt.Fprintf(&lines, "{\"id\":%d,\"op\":\"subscribe\",\"channel\":\"/a/c\"}\n", i+3)
	}
	_, c, a := busy(t, lines.String())
	a.open()
	c.want(`{"re":2,"messages":[]}`)
	for i := range commands {
		c.want(fmt.Sprintf(`{"re":%d,"offset":1}`, i+3))
	}
	if n := a.deepest.Load(); n > 100 {
		t.Errorf("%d calls deep", n)
	}
}

package transport

import (
	"fmt"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/session"
)

// everyWay runs one scenario over every transport: what a client is sent does not
// depend on it.
func everyWay(t *testing.T, o rigOptions, scenario func(r *rig, w way)) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) { scenario(newRig(t, o), w) })
	}
}

func TestLive(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		c, hello := r.on(w, "")
		compare(r.t, hello, fmt.Sprintf(`{"re":1,"session":%q,"secret":%q,"resumed":false,"now":%v,"subs":{},"ttl":120,"ping":25,"window":256,"max":65536}`,
			hello["session"], hello["secret"], hello["now"]))
		if now, _ := hello["now"].(float64); now < float64(time.Now().Add(engineAhead/2).UnixMilli()) {
			r.t.Errorf("now is %v, and not of the engine's clock", hello["now"])
		}
		c.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		c.want(`{"re":2,"offset":1}`)
		r.publish("/a/other", 0)
		r.publish("/a/b", 1, "two")
		c.want(`{"ch":"/a/b","o":3,"p":0,"d":1}`)
		c.want(`{"ch":"/a/b","o":4,"p":3,"d":"two"}`)
		c.send(`{"id":3,"op":"publish","channel":"/a/other","data":[1],"key":"k"}`, `{"id":4,"op":"publish","channel":"/a/other","data":[1],"key":"k"}`)
		c.want(`{"re":3,"offset":5}`)
		c.want(`{"re":4,"offset":5,"duplicate":true}`)
		c.send(`{"id":5,"op":"history","channel":"/a/b","limit":1}`, `{"id":6,"op":"auth","app":"a","token":"bob"}`)
		if o := c.next(); o["re"] != 5.0 || len(o["messages"].([]any)) != 1 {
			r.t.Fatalf("got %v", o)
		}
		c.want(`{"re":6,"user":"bob"}`)
		c.send(`{"id":7,"op":"unsubscribe","channel":"/a/b"}`)
		c.want(`{"re":7}`)
		r.publish("/a/b", 3)
		c.send(`{"id":8,"op":"subscribe","channel":"/a/b"}`)
		c.want(`{"re":8,"offset":6}`)
	})
}

func TestReplayThenLive(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		var last any
		for i := range 600 { // more than a window, and than a read brings
			last = r.publish("/a/b", i)
		}
		c, _ := r.on(w, `"last":{"/a/b":0}`)
		for i := range 600 {
			if o := c.next(); o["d"] != float64(i) || o["r"] != nil {
				r.t.Fatalf("message %d is %v", i, o)
			}
			if i%100 == 99 && w.transport != PollPath { // a poll says it by itself
				c.send(fmt.Sprintf(`{"op":"ack","last":{"/a/b":%d}}`, c.last["/a/b"]))
			}
		}
		if o := c.next(); o["at"] != nil {
			compare(r.t, o, fmt.Sprintf(`{"ch":"/a/b","at":%v}`, last))
			r.publish("/a/b", "live")
			o = c.next()
			compare(r.t, o, fmt.Sprintf(`{"ch":"/a/b","o":%v,"p":%v,"d":"live"}`, o["o"], last))
		} else {
			r.t.Fatalf("got %v", o)
		}
	})
}

// What is not acknowledged holds up what follows, and nothing is lost by it.
func TestWindowHoldsUp(t *testing.T) {
	everyWay(t, rigOptions{session: session.Limits{Window: 2}}, func(r *rig, w way) {
		c, _ := r.on(w, "")
		c.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		c.want(`{"re":2,"offset":1}`)
		r.publish("/a/b", 1, 2, 3, 4, 5)
		for i := 1; i <= 5; i++ {
			c.want(fmt.Sprintf(`{"ch":"/a/b","o":%d,"p":%d,"d":%d}`, i+1, max(i, 1)*min(1, i-1), i))
			if w.transport == PollPath || i%2 != 0 {
				continue
			}
			c.send(`{"id":9,"op":"history","channel":"/a/none"}`)
			if o := c.next(); o["re"] != 9.0 {
				r.t.Fatalf("beyond the window: %v", o)
			}
			c.send(fmt.Sprintf(`{"op":"ack","last":{"/a/b":%d}}`, i+1))
		}
	})
}

func TestResume(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		c, hello := r.on(w, `"token":"alice"`)
		c.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		c.want(`{"re":2,"offset":1}`)
		r.publish("/a/b", 1)
		c.want(`{"ch":"/a/b","o":2,"p":0,"d":1}`)
		c.close()
		r.publish("/a/b", 2)
		name := fmt.Sprintf(`"session":%q,"secret":%q`, c.session, c.secret)
		for _, stranger := range []string{`"token":"bob",` + name, name, fmt.Sprintf(`"token":"alice","session":%q,"secret":"x"`, c.session)} {
			if _, o := r.on(w, stranger); o["resumed"] != false || o["session"] == hello["session"] {
				r.t.Errorf("%s: %v", stranger, o)
			}
		}
		d, again := r.on(w, `"token":"alice",`+name+fmt.Sprintf(`,"epoch":%q,"last":{"/a/b":2}`, c.epoch))
		if again["resumed"] != true || again["session"] != hello["session"] || again["secret"] == c.secret {
			r.t.Errorf("got %v", again)
		}
		d.want(`{"ch":"/a/b","o":3,"p":2,"d":2}`)
	})
}

// A client that has forgotten where it stands is sent what it has not acknowledged.
func TestNamedSessionResumes(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		c, _ := r.on(w, `"token":"alice","client":"laptop","ack":"manual"`)
		c.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		c.want(`{"re":2,"offset":1}`)
		r.publish("/a/b", 1, 2)
		c.want(`{"ch":"/a/b","o":2,"p":0,"d":1}`)
		c.want(`{"ch":"/a/b","o":3,"p":2,"d":2}`)
		c.send(`{"op":"ack","last":{"/a/b":2}}`, `{"id":3,"op":"history","channel":"/a/none"}`)
		if o := c.next(); o["re"] != 3.0 {
			r.t.Fatalf("got %v", o)
		}
		c.close()
		d, hello := r.on(w, `"token":"alice","client":"laptop","ack":"manual"`)
		if hello["resumed"] != true {
			r.t.Errorf("got %v", hello)
		}
		d.want(`{"ch":"/a/b","o":3,"p":2,"d":2,"r":true}`)
		d.want(`{"ch":"/a/b","at":3}`)
	})
}

func TestGapIsTold(t *testing.T) {
	everyWay(t, rigOptions{store: engine.Rule{Messages: 1}}, func(r *rig, w way) {
		r.publish("/a/b", 1, 2, 3)
		epoch := r.engine.Status().Epoch
		c, _ := r.on(w, fmt.Sprintf(`"epoch":%q,"last":{"/a/b":2}`, epoch))
		c.want(`{"ch":"/a/b","gap":{"after":2,"to":3,"reason":"expired"}}`)
		c.want(`{"ch":"/a/b","o":4,"p":3,"d":3}`)
	})
}

func TestRevokedIsTold(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		c, _ := r.on(w, `"token":"alice"`)
		c.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`, `{"id":3,"op":"subscribe","channel":"/a/open"}`)
		c.want(`{"re":2,"offset":1}`)
		c.want(`{"re":3,"offset":1}`)
		held := make(chan object, 1)
		go func() { held <- c.next() }()
		r.connected(1)
		r.broker.SetRights(broker.Rights{
			Policy: policy(r.t, "/a/b group:admins *\n/** * *"), Auth: names{},
			Storage: func(channel.Name) engine.Rule { return engine.Rule{} },
		})
		must(r.t, r.sessions.Recheck(r.t.Context()))
		r.publish("/a/b", 5)
		r.publish("/a/open", 6)
		compare(r.t, <-held, `{"ch":"/a/b","revoked":{"code":"forbidden","message":"subscribe to /a/b is not allowed for alice"}}`)
		c.want(`{"ch":"/a/open","o":3,"p":0,"d":6}`)
	})
}

// connected waits until n connections have a session: between two polls there are
// none.
func (r *rig) connected(n int) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for r.attached() != n {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d sessions have a connection, want %d", r.attached(), n)
		}
		time.Sleep(time.Millisecond)
	}
}

// attached returns how many connections have opened their session.
func (r *rig) attached() (n int) {
	for _, p := range r.server.parts {
		counted := make(chan int)
		p.loop.Post(func() {
			n := 0
			for c := range p.clients {
				if x := c.(carrier).commands(); x.session != nil && !x.busy && !x.closed {
					n++
				}
			}
			counted <- n
		})
		n += <-counted
	}
	return n
}

func TestRefusedConnect(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		c, refused := r.on(w, `"token":"wrong"`)
		compare(r.t, refused, `{"re":1,"error":{"code":"unauthorized","message":"wrong user name, password or token"}}`)
		compare(r.t, c.ended(), `{"bye":{"code":"unauthorized"}}`)
	})
}

// The newer connection has the session. The older one is told, and a poll
// answered with nothing.
func TestDisplacedOnEveryWay(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		for _, newer := range ways {
			c, _ := r.on(w, "")
			name := fmt.Sprintf(`"session":%q,"secret":%q`, c.session, c.secret)
			bye := make(chan object, 1)
			go func() { bye <- c.ended() }()
			r.connected(1)
			d, again := r.on(newer, name)
			if again["resumed"] != true {
				r.t.Errorf("by %v: %v", newer, again)
			}
			switch got := <-bye; {
			case w.transport == PollPath && got != nil:
				r.t.Errorf("by %v: a poll is told %v", newer, got)
			case w.transport != PollPath:
				compare(r.t, got, `{"bye":{"code":"displaced"}}`)
			}
			d.close()
			r.connected(0)
		}
	})
}

// A server that stops says so on all transports, and all connections end.
func TestDrainOnEveryWay(t *testing.T) {
	everyWay(t, rigOptions{}, func(r *rig, w way) {
		c, _ := r.on(w, "")
		c.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		c.want(`{"re":2,"offset":1}`)
		bye := make(chan object, 1)
		go func() { bye <- c.ended() }()
		r.connected(1)
		r.server.Drain(time.Nanosecond)
		compare(r.t, <-bye, `{"bye":{"code":"restart","retry":200}}`)
		c.close()
		deadline := time.Now().Add(patience)
		for r.server.Len() > 0 {
			if time.Now().After(deadline) {
				r.t.Fatalf("%d connections are left", r.server.Len())
			}
			time.Sleep(time.Millisecond)
		}
	})
}

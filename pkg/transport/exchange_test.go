package transport

import (
	"fmt"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/session"
)

func TestPublishReachesSubscriber(t *testing.T) {
	r := newRig(t, rigOptions{})
	alice, bob := r.dial(), r.dial()
	alice.connect("")
	bob.connect(`"token":"bob"`)
	alice.send(`{"id":2,"op":"subscribe","channel":"/chat/lobby"}`)
	alice.want(`{"re":2,"offset":1}`)
	bob.send(`{"id":2,"op":"publish","channel":"/chat/lobby","data":{"text":"hi"}}`)
	bob.want(`{"re":2,"offset":2}`)
	alice.want(`{"ch":"/chat/lobby","o":2,"p":0,"by":"bob","d":{"text":"hi"}}`)
}

func TestReplayAndLive(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a/b", 1, 2, 3)
	p := r.dial()
	p.connect("")
	p.send(`{"id":2,"op":"subscribe","channel":"/a/b","after":0}`)
	p.want(`{"re":2,"offset":4}`)
	for i := range 3 {
		p.want(fmt.Sprintf(`{"ch":"/a/b","o":%d,"p":%d,"d":%d}`, i+2, max(1, i+1)*min(i, 1), i+1))
	}
	p.want(`{"ch":"/a/b","at":4}`)
	r.publish("/a/b", 4)
	p.want(`{"ch":"/a/b","o":5,"p":4,"d":4}`)
}

// A client that acknowledges nothing is sent a window and no more; each ack
// brings the next.
func TestWindow(t *testing.T) {
	r := newRig(t, rigOptions{session: session.Limits{Window: 4}})
	p := r.dial()
	p.connect("")
	p.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
	p.want(`{"re":2,"offset":1}`)
	const n = 50
	for i := range n {
		r.publish("/a/b", i)
	}
	unacked := 0
	for i := range n {
		o := p.next()
		if o["d"] != float64(i) {
			t.Fatalf("got %v, want message %d", o, i)
		}
		if unacked++; unacked > 4 {
			t.Fatalf("%d unacknowledged messages", unacked)
		}
		if unacked == 4 {
			p.send(fmt.Sprintf(`{"op":"ack","last":{"/a/b":%d}}`, i+2))
			unacked = 0
		}
	}
}

// A faulty is a carrier that panics once.
type faulty struct {
	carrier
	panicked bool
}

func (f *faulty) object(event string, build func([]byte) []byte) {
	if !f.panicked {
		f.panicked = true
		panic("as a fault of the server does")
	}
	f.carrier.object(event, build)
}

// A panic on the way of one command, which the loop survives, holds up none behind it.
func TestExchangeAfterAPanic(t *testing.T) {
	r := newRig(t, rigOptions{loops: 1})
	c, _ := r.on(way{StreamPath, bare}, "")
	set := make(chan struct{})
	r.server.parts[0].loop.Post(func() {
		defer close(set)
		for client := range r.server.parts[0].clients {
			x := client.(carrier).commands()
			x.carrier = &faulty{carrier: x.carrier}
		}
	})
	<-set
	sent := make(chan error, 2)
	for range cap(sent) {
		go func() { sent <- c.trySend(`{"op":"ping"}`) }()
	}
	for range cap(sent) {
		must(t, <-sent)
	}
	c.want(`{"op":"pong"}`)
}

// A session is taken up by its secret on whichever loop the new connection is,
// and what was not acknowledged is sent again, marked.
func TestResumeAtCursor(t *testing.T) {
	r := newRig(t, rigOptions{})
	for round := range 8 { // connections are spread over the loops
		name := fmt.Sprintf("/a/b%d", round)
		p := r.dial()
		first := p.connect("")
		p.send(fmt.Sprintf(`{"id":2,"op":"subscribe","channel":%q}`, name))
		p.next()
		offset := r.publish(channel.Name(name), 1, 2, 3)
		for range 3 {
			p.next()
		}
		p.send(fmt.Sprintf(`{"op":"ack","last":{%q:%d}}`, name, offset-2), `{"op":"ping"}`)
		p.want(`{"op":"pong"}`)
		p.conn.Close()

		q := r.dial()
		again := q.connect(fmt.Sprintf(`"session":%q,"secret":%q`, first["session"], first["secret"]))
		if again["resumed"] != true || again["session"] != first["session"] || again["secret"] == first["secret"] {
			t.Fatalf("not resumed: %v after %v", again, first)
		}
		for i := range 2 {
			if o := q.next(); o["d"] != float64(i+2) || o["r"] != true {
				t.Fatalf("got %v", o)
			}
		}
		if o := q.next(); o["at"] == nil {
			t.Fatalf("got %v, want at", o)
		}
		r.publish(channel.Name(name), 4)
		if o := q.next(); o["d"] != 4.0 || o["r"] != nil {
			t.Fatalf("got %v", o)
		}
	}
}

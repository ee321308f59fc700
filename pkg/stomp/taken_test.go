package stomp

import (
	"fmt"
	"net"
	"runtime"
	"testing"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// handing is an engine that tells when a batch was handed over.
type handing struct {
	engine.Engine
	handed chan struct{}
}

func (h handing) Tail(deliver func(engine.Batch)) (stop func()) {
	return h.Engine.Tail(func(b engine.Batch) {
		deliver(b)
		h.handed <- struct{}{}
	})
}

// A message that the socket refuses, as the peer has just gone, was not taken: the
// durable subscription that acknowledges nothing gets it when its client comes back.
func TestWhatTheSocketRefusesIsNotTaken(t *testing.T) {
	const subscribe = "SUBSCRIBE\nid:1\ndestination:/a/b\nack:auto\ndurable:true\nreceipt:1"
	var e handing
	s, address := newServer(t, &directory{}, func(inner engine.Engine) engine.Engine {
		e = handing{inner, make(chan struct{}, 1)}
		return e
	})
	publish := func(text string) {
		t.Helper()
		_, err := engine.Publish(t.Context(), e, message.Message{Channel: "/a/b", Data: fmt.Appendf(nil, "%q", text)})
		must(t, err)
		<-e.handed
	}
	c := dial(t, address, "1")
	c.say(subscribe)
	c.want("RECEIPT")
	publish("before")
	c.want(`"before"`)
	loop := s.parts[0].loop
	turn, done := make(chan struct{}), make(chan struct{})
	loop.Post(func() { <-turn })
	publish("refused") // is delivered at the end of the turn in which the peer goes
	loop.Post(func() {
		defer close(done)
		must(t, c.Conn.(*net.TCPConn).SetLinger(0))
		must(t, c.Close())
		for rc := range loop.All() {
			for rc.RemoteAddr().IsValid() {
				runtime.Gosched()
			}
		}
	})
	close(turn)
	<-done
	again := dial(t, address, "1")
	again.say(subscribe)
	again.want("RECEIPT")
	publish("after")
	again.want(`"refused"`)
}

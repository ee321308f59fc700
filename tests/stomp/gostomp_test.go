package stomp_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3"
)

// github.com/go-stomp/stomp in each version, with heart-beats; see the clients of
// other languages.
func TestGoStomp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range []stomp.Version{stomp.V10, stomp.V11, stomp.V12} {
		c := goStomp(t, s, version)
		name := "/team/" + string(version)
		mode := stomp.AckClientIndividual
		if version == stomp.V10 {
			mode = stomp.AckClient
		}
		sub, err := c.Subscribe(name, mode)
		must(t, err)
		take := func(sub *stomp.Subscription, body, redelivered string) *stomp.Message {
			t.Helper()
			m := <-sub.C
			if m.Err != nil || string(m.Body) != body || m.Header.Get("redelivered") != redelivered {
				t.Fatalf("%s: %q, %v, %v, not %s", version, m.Body, m.Header, m.Err, body)
			}
			return m
		}
		must(t, c.Send("/open/x", "text/plain", []byte("x"), stomp.SendOpt.Receipt))
		tx := c.Begin()
		for i := range 3 {
			must(t, tx.Send(name, "text/plain", fmt.Appendf(nil, "%d", i)))
		}
		must(t, tx.Commit())
		for i := range 3 {
			must(t, c.Ack(take(sub, fmt.Sprint(i), "")))
		}

		kept := name + "/kept"
		subscribe := func() *stomp.Subscription {
			sub, err := c.Subscribe(kept, mode, stomp.SubscribeOpt.Id("kept"), stomp.SubscribeOpt.Header("durable", "true"), stomp.SubscribeOpt.Header("after", "0"))
			must(t, err)
			return sub
		}
		for _, body := range []string{"acked", "open"} {
			must(t, c.Send(kept, "text/plain", []byte(body), stomp.SendOpt.Receipt))
		}
		sub = subscribe()
		must(t, c.Ack(take(sub, "acked", "")))
		take(sub, "open", "")
		must(t, c.Send("/open/x", "text/plain", []byte("the ACK was received"), stomp.SendOpt.Receipt))
		s.restart()
		c = goStomp(t, s, version)
		must(t, c.Send(kept, "text/plain", []byte("missed"), stomp.SendOpt.Receipt))
		sub = subscribe()
		must(t, c.Ack(take(sub, "open", "true")))
		must(t, c.Ack(take(sub, "missed", "")))
		// Not sub.Unsubscribe: the client may miss its own wake-up and wait for 30 s.
		must(t, c.Disconnect())
	}
}

func goStomp(t *testing.T, s *site, version stomp.Version) *stomp.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.address("stomp"))
	must(t, err)
	c, err := stomp.Connect(nc, stomp.ConnOpt.AcceptVersion(version), stomp.ConnOpt.Login("alice", "demo"),
		stomp.ConnOpt.HeartBeat(3*time.Second, 3*time.Second), stomp.ConnOpt.Host("localhost"), stomp.ConnOpt.Header("client-id", string(version)))
	must(t, err)
	if c.Version() != version {
		t.Fatalf("%s, not %s", c.Version(), version)
	}
	return c
}

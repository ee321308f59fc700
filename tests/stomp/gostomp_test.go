package stomp_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3"
)

// The client of github.com/go-stomp/stomp: receipts, ack modes, transactions, with
// heart-beats, in every version.
func TestGoStomp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range []stomp.Version{stomp.V10, stomp.V11, stomp.V12} {
		nc, err := net.Dial("tcp", s.address("stomp"))
		must(t, err)
		c, err := stomp.Connect(nc, stomp.ConnOpt.AcceptVersion(version), stomp.ConnOpt.Login("alice", "demo"),
			stomp.ConnOpt.HeartBeat(3*time.Second, 3*time.Second), stomp.ConnOpt.Host("localhost"))
		must(t, err)
		if c.Version() != version {
			t.Fatalf("%s, not %s", c.Version(), version)
		}
		name := "/team/" + string(version)
		mode := stomp.AckClientIndividual
		if version == stomp.V10 {
			mode = stomp.AckClient
		}
		sub, err := c.Subscribe(name, mode)
		must(t, err)
		must(t, c.Send("/open/x", "text/plain", []byte("x"), stomp.SendOpt.Receipt))
		tx := c.Begin()
		for i := range 3 {
			must(t, tx.Send(name, "text/plain", fmt.Appendf(nil, "%d", i)))
		}
		must(t, tx.Commit())
		for i := range 3 {
			m := <-sub.C
			if m.Err != nil || string(m.Body) != fmt.Sprint(i) {
				t.Fatalf("%s: %q, %v, not %d", version, m.Body, m.Err, i)
			}
			must(t, c.Ack(m))
		}
		// Not sub.Unsubscribe: the client may miss its own wake-up and wait for 30 s.
		must(t, c.Disconnect())
	}
}

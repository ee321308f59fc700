package proxies

import (
	"context"
	"fmt"
	"testing"

	"github.com/orbitd/orbitd/tests/scene"
)

// Behind each proxy, by every way that gets through it: nothing is lost, repeated or
// reordered while the daemon is killed, connections are cut, and the proxies are
// reloaded, restarted and killed.
func TestDeliveryBehindProxies(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute, and three proxies")
	}
	s := scene.New(t, 1500, 0, trusted)
	all := newStreet(t, s.Daemon)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all.start(ctx)
	for _, x := range all.sites {
		for _, door := range x.doors() {
			for _, way := range scene.Ways {
				switch {
				case way == "websocket" && (!x.upgrades || door.Second):
				case way != "poll" && x.buffers:
				default:
					s.Client(ctx, fmt.Sprintf("behind %s (h2 %v)", x, door.Second), way, door)
				}
			}
		}
	}
	s.Publish(ctx, all.sites[0].door())
	trouble := []func(){
		func() { s.Daemon.Kill(); s.Daemon.Start() },
		all.nginx.reload,
		func() { s.Cutter.Cut(2) },
		all.haproxy.reload,
		all.apache.reload,
		func() { all.nginx.stop(); all.nginx.start(ctx) },
		func() { all.haproxy.kill(); all.haproxy.start(ctx) },
		func() { s.Daemon.Kill(); all.apache.stop(); s.Daemon.Start(); all.apache.start(ctx) },
		func() { all.nginx.kill(); all.nginx.start(ctx) },
	}
	for _, happens := range trouble {
		s.Advance(0.8 / float64(len(trouble)))
		happens()
	}
	s.Finish(ctx, cancel)
}

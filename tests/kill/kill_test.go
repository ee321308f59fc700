package kill

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/orbitd/orbitd/tests/scene"
)

var (
	messages = flag.Int("messages", 0, "messages to publish, over all channels")
	kills    = flag.Int("kills", 0, "how often the daemon is killed")
	clients  = flag.Int("clients", 0, "Go clients that subscribe")
	seed     = flag.Uint64("seed", 0, "of the moments; 0: a new one")
)

func TestEveryAcceptedMessageArrivesOnceAndInOrder(t *testing.T) {
	m, k, c := 10_000, 20, 200
	if testing.Short() {
		m, k, c = 2_000, 5, 50
	}
	m, k, c = orDefault(*messages, m), orDefault(*kills, k), orDefault(*clients, c)
	t.Logf("%d messages, %d kills, %d clients", m, k, c)
	p := &play{Scene: scene.New(t, m, *seed, ""), kills: k}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.Daemon.Start()
	p.Daemon.Ready(ctx)
	for i := range c {
		p.Client(ctx, fmt.Sprintf("client %d", i), scene.Ways[i%len(scene.Ways)], p.Daemon.Door(i))
	}
	for _, name := range []string{"", "one", "two", "three"} {
		p.consume(ctx, newConsumer(name))
	}
	p.Publish(ctx, p.Daemon.Door(0))
	for range k {
		p.killOnce()
	}
	p.Finish(ctx, cancel)
	for _, c := range p.consumers {
		t.Logf("%s: %d processes, %d messages redelivered", c.Who, c.lives, c.redelivered)
	}
}

func orDefault(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// A play is a scene in which the daemon, its consumers and the network fail.
type play struct {
	*scene.Scene
	kills     int
	consumers []*consumer // processes; those with a name are killed as well
}

func (p *play) consume(ctx context.Context, c *consumer) {
	p.consumers = append(p.consumers, c)
	p.Witnesses = append(p.Witnesses, c.Witness)
	p.Go(func() { c.run(ctx, p.Daemon.Binary, p.Daemon.URL()) })
}

// killOnce waits for some progress and a moment, kills the daemon, and starts it
// again. Now and then it is killed while it starts, or the network or a consumer
// fails too, before it or with it.
func (p *play) killOnce() {
	if p.Random.IntN(4) > 0 {
		p.Advance((0.5 + p.Random.Float64()) / float64(p.kills+1))
	}
	if p.Random.IntN(3) == 0 {
		p.Cutter.Cut(1 + p.Random.IntN(10))
	}
	p.consumers[p.Random.IntN(len(p.consumers))].kill()
	time.Sleep(time.Duration(p.Random.IntN(60)) * time.Millisecond)
	if p.Random.IntN(2) == 0 {
		p.consumers[p.Random.IntN(len(p.consumers))].kill()
	}
	p.Daemon.Kill()
	p.Daemon.Start()
}

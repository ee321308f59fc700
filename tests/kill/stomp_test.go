package kill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
	"github.com/orbitd/orbitd/tests/checker"
	"github.com/orbitd/orbitd/tests/scene"
)

const (
	queue = "/kill/queue"
	dead  = "/kill/queue/$dead"
	out   = "/kill/out"
)

// The daemon is killed in the middle of SENDs with receipts, and the connections of
// those who acknowledge are cut: what has a receipt is delivered once, in order, to
// a durable subscription of each ack mode, and to one of the consumers of a group; what one refuses dies once, and what one
// sends on in a transaction with its ACK is there once. What comes again is marked, and passed
// over as an application does that knows what it has processed.
func TestReceiptedMessagesReachDurableSubscriptions(t *testing.T) {
	total, times := 10_000, 10
	if testing.Short() {
		total, times = 2_000, 4
	}
	total, times = orDefault(*messages, total), orDefault(*kills, times)
	address := scene.FreeAddress(t)
	d := scene.NewDaemon(t, fmt.Sprintf("stomp = %q\n[[channel]]\nmatch = %q\nsubscribe = [\"*\"]", address, dead))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d.Start()
	d.Ready(ctx)
	p := &stompPublisher{address: address, total: total, done: map[int]bool{}}
	var all []*stompConsumer
	group := newProcessed("group")
	for _, mode := range []string{"auto", "client", "client-individual"} {
		all = append(all, &stompConsumer{mode: mode, processed: newProcessed(mode)},
			&stompConsumer{mode: "client-individual", group: true, processed: group})
	}
	refusing := &stompConsumer{mode: "client-individual", refuses: true, processed: newProcessed("refusing")}
	all = append(all, refusing, &stompConsumer{mode: "client-individual", pipes: true, processed: newProcessed("pipe")})
	var actors sync.WaitGroup
	for _, c := range all {
		c.address = address
		first, err := c.subscribe(ctx) // so that it is there before the first message
		must(t, err)
		must(t, first.Close())
		actors.Go(func() { c.run(ctx) })
	}
	actors.Go(func() { p.run(ctx) })
	for n := range times {
		await(t, fmt.Sprintf("receipt %d", (n+1)*total/(times+1)), func() bool { return p.receipted() >= (n+1)*total/(times+1) })
		if n%2 == 0 {
			for _, c := range all[1:] { // the first, which acknowledges nothing, would miss what it has not read
				c.cut()
			}
		}
		d.Kill()
		d.Start()
	}
	await(t, "all receipts", func() bool { return p.receipted() == total })
	poisoned := total / poisonEvery
	for _, c := range all {
		want := total
		if c.refuses {
			want -= poisoned
		}
		await(t, c.who, func() bool { return c.count() == want })
	}
	d.Ready(ctx)
	h := &checker.History{Accepted: stored(t, d, queue)}
	await(t, "messages sent on", func() bool { return len(stored(t, d, out)) >= total })
	await(t, "dead messages", func() bool { return len(stored(t, d, dead)) >= poisoned })
	cancel()
	actors.Wait()
	corpses, sentOn := stored(t, d, dead), stored(t, d, out)
	d.Stop()
	for _, c := range all {
		must(t, c.failed)
		t.Logf("%s: %d connections, %d messages redelivered", c.who, c.lives, c.redelivered)
		if !c.group && !c.refuses {
			h.Expected = append(h.Expected, checker.Expectation{Who: c.who, Channel: queue})
			h.Deliveries = append(h.Deliveries, c.deliveries...)
		}
	}
	if n := len(group.deliveries); n != total { // in no order, and each to one of them
		t.Errorf("the group's consumers have processed %d messages, not %d", n, total)
	}
	onceEach(t, "dead", corpses, poisoned)
	onceEach(t, "sent on", sentOn, total)
	if n := len(h.Accepted); n != total {
		t.Errorf("%d messages are stored, not %d", n, total)
	}
	v := checker.Check(h)
	fmt.Printf("%s: %s\n", t.Name(), v)
	must(t, v.Err())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// onceEach checks that there are so many messages, all different.
func onceEach(t *testing.T, what string, messages []checker.Accepted, want int) {
	t.Helper()
	different := map[int64]bool{}
	for _, m := range messages {
		different[m.N] = true
	}
	if len(messages) != want || len(different) != want {
		t.Errorf("%d messages are %s, %d different ones; want %d", len(messages), what, len(different), want)
	}
}

// await waits until something is so; a minute is for ever.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("no %s", what)
		}
	}
}

// stored reads what a channel holds.
func stored(t *testing.T, d *scene.Daemon, name string) (all []checker.Accepted) {
	t.Helper()
	for before := uint64(0); ; {
		res, err := http.Get(fmt.Sprintf("%s/v1/history%s?limit=256&before=%d", d.URL(), name, before))
		must(t, err)
		var page struct {
			Messages []struct {
				O uint64
				D int64
			}
		}
		must(t, json.NewDecoder(res.Body).Decode(&page))
		res.Body.Close()
		if len(page.Messages) == 0 {
			return all
		}
		for _, m := range page.Messages {
			all = append(all, checker.Accepted{Channel: name, N: m.D, Offset: m.O})
		}
		before = page.Messages[0].O
	}
}

// A stompPublisher sends numbered messages, each with a receipt and a key, and sends
// again what had none when the connection ended.
type stompPublisher struct {
	address string
	total   int

	mu   sync.Mutex
	done map[int]bool // receipted
}

func (p *stompPublisher) receipted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.done)
}

func (p *stompPublisher) run(ctx context.Context) {
	for ctx.Err() == nil && p.receipted() < p.total {
		if c, err := dialSTOMP(ctx, p.address); err == nil {
			p.live(c)
			c.Close()
		}
	}
}

// live sends what has no receipt, at most 256 at a time, until the connection ends.
func (p *stompPublisher) live(c *stompClient) {
	room := make(chan struct{}, 256)
	go func() {
		defer close(room)
		for n := 1; n <= p.total; n++ {
			p.mu.Lock()
			done := p.done[n]
			p.mu.Unlock()
			if done {
				continue
			}
			room <- struct{}{}
			if c.say("SEND\ndestination:%s\nidempotency-key:%d\nreceipt:%d\n\n %d\x00", queue, n, n, n) != nil {
				return
			}
		}
	}()
	for {
		f, err := c.next()
		if err != nil || f.Command != frame.Receipt {
			c.Close()
			for range room { // until the other has noticed
			}
			return
		}
		var n int
		fmt.Sscan(f.Text("receipt-id"), &n)
		p.mu.Lock()
		p.done[n] = true
		p.mu.Unlock()
		<-room
		if p.receipted() == p.total {
			return
		}
	}
}

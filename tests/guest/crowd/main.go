// Command crowd keeps many clients connected to a daemon, publishes to all of them and
// knocks at its door, until its standard input ends; then it says what was refused,
// lost, repeated or out of order, and exits with 1 if anything was. Where there is no room
// for all, by -refusals, it does not knock, and may be refused.
//
// It says "ready" when all clients are there. The channel is /crowd/all, anyone's.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/tests/checker"
)

const (
	name = "/crowd/all"

	// patience is how long nothing may happen before it gives up. It asserts
	// nothing about speed.
	patience = time.Minute

	betweenPublishes = 100 * time.Millisecond
	betweenKnocks    = 10 * time.Millisecond
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "the daemon")
	clients := flag.Int("clients", 2000, "how many clients")
	refusals := flag.Bool("refusals", false, "connections may be refused; nothing may be lost all the same")
	flag.Parse()
	c := &crowd{url: *url, refusals: *refusals}
	if err := c.run(*clients); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

// A crowd is what all have seen. Its counters are anyone's.
type crowd struct {
	url      string
	refusals bool // are no mistake

	connections, refused, knocks atomic.Int64
	delivered                    atomic.Int64 // over all clients
	worst                        time.Duration

	mu     sync.Mutex // guards reason
	reason error      // of the first refusal
}

func (c *crowd) run(clients int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	live := make(chan struct{}, clients)
	members := make([]member, clients)
	for i := range members {
		members[i].who = fmt.Sprintf("client %d", i)
		running.Go(func() { members[i].attend(ctx, c, live) })
	}
	for range clients {
		select {
		case <-live:
		case <-time.After(patience):
			return fmt.Errorf("not all clients are there; %w", c.why())
		}
	}
	fmt.Println("ready")

	busy, rest := context.WithCancel(ctx)
	running.Go(func() {
		io.Copy(io.Discard, os.Stdin)
		rest()
	})
	var knocking sync.WaitGroup
	if !c.refusals {
		knocking.Go(func() { c.knock(busy) })
	}
	accepted, err := c.publish(ctx, busy)
	if err != nil {
		return err
	}
	knocking.Wait()
	if err := c.settle(int64(clients) * int64(len(accepted))); err != nil {
		return err
	}
	cancel()
	running.Wait()
	return c.judge(accepted, members)
}

// publish publishes numbers from 1 until busy ends, and one more, behind which
// nobody can have missed anything unseen.
func (c *crowd) publish(ctx, busy context.Context) (all []checker.Accepted, err error) {
	p, err := client.New(client.Options{URL: c.url, Dial: c.dial})
	if err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running.Go(func() { p.Run(ctx) })
	for n, last := int64(1), false; !last; n++ {
		last = busy.Err() != nil
		patient, enough := context.WithTimeout(ctx, patience)
		r, err := p.Publish(patient, client.Publication{Channel: name, Data: fmt.Append(nil, n)})
		enough()
		if err != nil {
			return nil, fmt.Errorf("publish %d: %w; %w", n, err, c.why())
		}
		all = append(all, checker.Accepted{Channel: name, N: n, Offset: uint64(r.Offset)})
		select {
		case <-busy.Done():
		case <-time.After(betweenPublishes):
		}
	}
	return all, nil
}

// knock makes connections, each for one request, until busy ends.
func (c *crowd) knock(busy context.Context) {
	door := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for busy.Err() == nil {
		begin := time.Now()
		c.knocks.Add(1)
		answer, err := door.Get(c.url + "/")
		if err != nil {
			c.refuse(err)
		} else {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		c.worst = max(c.worst, time.Since(begin))
		time.Sleep(betweenKnocks)
	}
}

func (c *crowd) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.connections.Add(1)
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil && ctx.Err() == nil {
		c.refuse(err)
	}
	return conn, err
}

func (c *crowd) refuse(err error) {
	c.refused.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		c.reason = err
	}
}

func (c *crowd) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		return errors.New("no connection was refused")
	}
	return fmt.Errorf("%d connections were refused, the first: %w", c.refused.Load(), c.reason)
}

// settle waits until so much is delivered, or nothing is any more.
func (c *crowd) settle(want int64) error {
	last, since := int64(-1), time.Now()
	for {
		switch n := c.delivered.Load(); {
		case n >= want:
			return nil
		case n != last:
			last, since = n, time.Now()
		case time.Since(since) > patience:
			return fmt.Errorf("%d of %d deliveries, and nothing happens any more; %w", n, want, c.why())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *crowd) judge(accepted []checker.Accepted, members []member) error {
	h := &checker.History{Accepted: accepted}
	for i := range members {
		m := &members[i]
		h.Deliveries = append(h.Deliveries, m.deliveries...)
		h.Expected = append(h.Expected, checker.Expectation{Who: m.who, Channel: name})
		if m.failed != nil {
			return fmt.Errorf("%s: %w", m.who, m.failed)
		}
	}
	v := checker.Check(h)
	fmt.Printf("%d clients, %d connections, %d knocks (the longest took %s), refused=%d; %s\n",
		len(members), c.connections.Load(), c.knocks.Load(), c.worst.Round(time.Millisecond), c.refused.Load(), v)
	if c.refused.Load() > 0 && !c.refusals {
		return c.why()
	}
	return v.Err()
}

// A member is one client and what it was given: its goroutine's until that ends.
type member struct {
	who        string
	deliveries []checker.Delivery
	failed     error
}

// attend is a client until ctx ends. It tells live when it has its subscription.
func (m *member) attend(ctx context.Context, c *crowd, live chan<- struct{}) {
	var once sync.Once
	p, err := client.New(client.Options{URL: c.url, Dial: c.dial})
	if err == nil {
		err = p.Subscribe(client.Subscription{
			Channel: name,
			From:    &message.Position{}, // from the oldest
			OnLive:  func(message.Position) { once.Do(func() { live <- struct{}{} }) },
			OnMessage: func(got *message.Message, _ message.Epoch, _ bool) {
				var n int64
				if err := json.Unmarshal(got.Data, &n); err != nil {
					m.failed = fmt.Errorf("payload %s: %w", got.Data, err)
				}
				m.deliveries = append(m.deliveries, checker.Delivery{Who: m.who, Channel: name, N: n, Offset: uint64(got.Offset)})
				c.delivered.Add(1)
			},
			OnGap: func(g client.Gap) { m.failed = fmt.Errorf("told of a gap, though nothing was removed: %+v", g) },
			OnEnd: func(e *message.Error) { m.failed = e },
		})
	}
	if err != nil {
		m.failed = err
		return
	}
	if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		m.failed = err
	}
}

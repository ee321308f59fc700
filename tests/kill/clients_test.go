package kill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/tests/checker"
)

var channels = []channel.Name{"/kill/a", "/kill/b", "/kill/c"}

type body struct {
	N   int64  `json:"n"`
	Pad string `json:"pad,omitempty"`
}

// A witness is one subscriber of all channels and what it was given. Its
// handlers run on one goroutine, which owns the history until the witness ended.
type witness struct {
	who     string
	history checker.History
	got     atomic.Int64 // deliveries so far
	failed  error
}

func (w *witness) delivered(ch channel.Name, offset message.Offset, data []byte) {
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		w.failed = fmt.Errorf("%s: payload %s: %w", w.who, data, err)
	}
	w.history.Deliveries = append(w.history.Deliveries, checker.Delivery{Who: w.who, Channel: string(ch), N: b.N, Offset: uint64(offset)})
	w.got.Add(1)
}

func (w *witness) gap(ch channel.Name, after, to message.Offset) {
	w.history.Gaps = append(w.history.Gaps, checker.Gap{Who: w.who, Channel: string(ch), After: uint64(after), To: uint64(to)})
}

// listen runs a Go client until ctx ends. cut is given its connections.
func (w *witness) listen(ctx context.Context, to door, cut *cutter) {
	c, err := client.New(client.Options{URL: to.url, TLS: to.trusts, Dial: cut.dial})
	if err != nil {
		w.failed = err
		return
	}
	for _, ch := range channels {
		err := c.Subscribe(client.Subscription{
			Channel: ch,
			From:    &message.Position{}, // from the oldest
			OnMessage: func(m *message.Message, _ message.Epoch, _ bool) {
				w.delivered(m.Channel, m.Offset, m.Data)
			},
			OnGap: func(g client.Gap) { w.gap(g.Channel, g.After, g.To) },
			OnEnd: func(e *message.Error) { w.failed = e },
		})
		if err != nil {
			w.failed = err
		}
	}
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		w.failed = fmt.Errorf("%s: %w", w.who, err)
	}
}

// A cutter makes connections and cuts them: a network that fails.
type cutter struct {
	mu   sync.Mutex
	open []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		c.mu.Lock()
		c.open = append(c.open, conn)
		c.mu.Unlock()
	}
	return conn, err
}

// cut closes every nth connection, without a word to the other side.
func (c *cutter) cut(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < len(c.open); i += n {
		c.open[i].Close()
	}
	c.open = nil
}

// A publisher sends numbered messages in turn to all channels, with keys, each
// behind the one before it.
type publisher struct {
	c        *client.Client
	accepted atomic.Int64

	mu     sync.Mutex // guards what follows
	stored []checker.Accepted
	failed error
}

// publish publishes number n of every channel and does not wait for the answers.
func (p *publisher) publish(ctx context.Context, n int64, pad string) error {
	for _, ch := range channels {
		want := client.Publication{Channel: ch, Key: key(ch, n)}
		want.Data, _ = json.Marshal(body{n, pad}) // cannot fail
		if n > 1 {
			want.Prev = key(ch, n-1)
		}
		err := p.c.PublishAsync(ctx, want, func(r client.Receipt, err error) { p.answered(ch, n, r, err) })
		if err != nil {
			return err
		}
	}
	return nil
}

func key(ch channel.Name, n int64) string { return fmt.Sprintf("%s-%d", ch, n) }

func (p *publisher) answered(ch channel.Name, n int64, r client.Receipt, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		// At the end of the test nobody waits for an answer; and what follows the
		// first refusal follows from it.
		if p.failed == nil && !errors.Is(err, client.ErrClosed) {
			p.failed = fmt.Errorf("%s %d: %w", ch, n, err)
		}
		return
	}
	p.stored = append(p.stored, checker.Accepted{Channel: string(ch), N: n, Offset: uint64(r.Offset)})
	p.accepted.Add(1)
}

func (p *publisher) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// check fails the test for what went wrong beside the messages.
func (w *witness) check(t *testing.T) {
	if w.failed != nil {
		t.Error(w.failed)
	}
}

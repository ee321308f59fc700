package scene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/tests/checker"
)

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
	for _, ch := range Channels {
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

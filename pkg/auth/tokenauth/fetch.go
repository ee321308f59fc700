package tokenauth

import (
	"context"
	"fmt"
	"time"
)

// A fetch is one reading of the set. It is the Remote's latest from when it is
// asked for; err counts when done is closed.
type fetch struct {
	began time.Time
	done  chan struct{}
	err   error
}

func newFetch() *fetch { return &fetch{began: time.Now(), done: make(chan struct{})} }

func (f *fetch) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait returns when the fetch is over.
func (f *fetch) wait(ctx context.Context) error {
	select {
	case <-f.done:
	case <-ctx.Done():
		return fmt.Errorf("read the key set: %w", context.Cause(ctx))
	}
	if f.err != nil {
		return fmt.Errorf("read the key set: %w", f.err)
	}
	return nil
}

func (f *fetch) end(err error) {
	f.err = err
	close(f.done)
}

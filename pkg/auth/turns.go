package auth

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Turns bound how many logins are checked at a time, and how many wait for that: so
// that a storm of logins takes neither the memory of this host nor a directory. They
// may be used concurrently.
type Turns struct {
	taken   chan struct{}
	waiting atomic.Int32
	most    int32
}

// NewTurns returns turns for so many logins at a time, and so many that wait.
func NewTurns(atOnce, waiting int) *Turns {
	return &Turns{taken: make(chan struct{}, atOnce), most: int32(waiting)}
}

// Take waits for a turn. The error says that it could not be found out: ctx has
// ended, or too many wait already.
func (t *Turns) Take(ctx context.Context) (end func(), err error) {
	if t.waiting.Add(1) > t.most {
		t.waiting.Add(-1)
		return nil, fmt.Errorf("%d logins are waiting already", t.most)
	}
	defer t.waiting.Add(-1)
	if ctx.Err() == nil { // of two ready cases select takes either
		select {
		case t.taken <- struct{}{}:
			return func() { <-t.taken }, nil
		case <-ctx.Done():
		}
	}
	return nil, fmt.Errorf("wait for other logins: %w", context.Cause(ctx))
}

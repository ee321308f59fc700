package engine

import (
	"context"

	"github.com/orbitd/orbitd/pkg/message"
)

// Publish submits msgs and waits for the answer. When ctx ends first, the error
// is message.Unknown: the messages may be stored.
func Publish(ctx context.Context, e Engine, msgs ...message.Message) ([]Receipt, error) {
	type answer struct {
		receipts []Receipt
		err      error
	}
	answered := make(chan answer, 1)
	e.Submit(msgs, func(r []Receipt, err error) { answered <- answer{r, err} })
	select {
	case a := <-answered:
		return a.receipts, a.err
	case <-ctx.Done():
		return nil, message.Errorf(message.Unknown, "the wait for storage ended first; retry with the same key to settle it").Because(ctx.Err())
	}
}

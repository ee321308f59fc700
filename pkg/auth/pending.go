package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
)

// An outcome is what became of an attempt.
type outcome int

const (
	unjudged outcome = iota // it could not be found out
	right
	wrong
)

var errGuarded = errors.New("nobody was asked")

// A waiter is an attempt that waits for others to be judged. Who takes it out of
// Guard.waiting sends one answer.
type waiter struct {
	keys   guardKeys
	answer chan *message.Error // nil: its turn
}

// begin counts an attempt as one that is being judged, until end, as soon as there is
// room for it. The error is for the peer.
func (g *Guard) begin(ctx context.Context, k guardKeys) *message.Error {
	g.mu.Lock()
	switch wait, room := g.judge(k); {
	case wait <= 0 && !room && len(g.waiting) < maxPending:
	case wait > 0 || !room:
		g.mu.Unlock()
		return limited(max(wait, time.Second))
	default:
		g.take(k)
		g.mu.Unlock()
		return nil
	}
	w := &waiter{k, make(chan *message.Error, 1)}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	select {
	case err := <-w.answer:
		return err
	case <-ctx.Done():
		return g.leave(ctx, w)
	}
}

// leave ends the waiting of w, whose ctx has ended.
func (g *Guard) leave(ctx context.Context, w *waiter) *message.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, w); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	} else if err := <-w.answer; err != nil {
		return err
	} else {
		g.give(w.keys)
	}
	return message.Errorf(message.Unavailable, "logins cannot be checked at the moment; try again later").
		Because(fmt.Errorf("wait for other logins: %w", context.Cause(ctx)))
}

// end says what became of an attempt, and lets go on who has waited for that.
func (g *Guard) end(k guardKeys, is outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch is {
	case right:
		g.right(k)
	case wrong:
		g.wrong(k)
	}
	g.give(k)
}

func (g *Guard) take(k guardKeys) {
	for _, key := range k.all() {
		g.pending[key]++
	}
}

// give makes room, and answers whom that concerns. Whoever waits does so for one that
// is being judged under one of the same keys, and so is answered in the end.
func (g *Guard) give(k guardKeys) {
	for _, key := range k.all() {
		if g.pending[key]--; g.pending[key] == 0 {
			delete(g.pending, key)
		}
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(w *waiter) bool {
		wait, room := g.judge(w.keys)
		switch {
		case wait > 0:
			w.answer <- limited(wait)
			return true
		case room:
			g.take(w.keys)
			w.answer <- nil
			return true
		}
		return false
	})
}

func (k guardKeys) all() [3]uint64 { return [...]uint64{k.pair, k.address, k.user} }

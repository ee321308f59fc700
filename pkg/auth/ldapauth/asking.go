package ldapauth

import (
	"context"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
)

// asking is which users the directory is being asked about: when many clients of one
// come back at once, one of them asks. It may be used concurrently.
type asking struct {
	mu        sync.Mutex
	questions map[about]*question
}

// about is a user in a round: who comes after a round has begun is not answered with
// what was asked before it.
type about struct {
	user  string
	round time.Time
}

// A question is one that others may wait for. Its fields are valid once answered is
// closed.
type question struct {
	about    about
	answered chan struct{}

	identity *auth.Identity
	err      error
	left     bool // whoever asked has left before there was an answer
}

// join returns the question about a user, which the first one to join asks and then
// leaves.
func (a *asking) join(user string, round time.Time) (q *question, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := about{user, round}
	if q := a.questions[key]; q != nil {
		return q, false
	}
	if a.questions == nil {
		a.questions = make(map[about]*question)
	}
	q = &question{about: key, answered: make(chan struct{})}
	a.questions[key] = q
	return q, true
}

// leave has those who wait take the answer, or ask themselves if ctx has ended.
func (a *asking) leave(ctx context.Context, q *question) {
	a.mu.Lock()
	delete(a.questions, q.about)
	a.mu.Unlock()
	q.left = ctx.Err() != nil
	close(q.answered)
}

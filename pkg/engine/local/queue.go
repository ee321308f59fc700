package local

import (
	"context"
	"sync"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// Bounds of what waits for the sequencer; beyond them it is refused.
const (
	maxPending = 64 << 20
	// submitSize is what a submit counts for beside its messages, in bytes.
	submitSize = 256
	// maxMessage bounds one message, maxSubmit the messages of one Submit, in
	// bytes of message.Message.Size.
	maxMessage = 16 << 20
	maxSubmit  = 32 << 20
	// saveSize is what a session counts for while it waits, in bytes.
	saveSize = 256
)

// An op is one thing for the sequencer to do; one of the fields is set.
type op struct {
	submit *submit
	save   *engine.Session
	drop   *engine.SessionKey
	moves  []engine.CursorMove
	call   func() // run by the sequencer in its turn
	done   func(error)
	at     int64 // the time when it was asked for, of what has Seen
	size   int
	place  uint64 // in the backlog
}

// A submit is the messages of one Submit, with what can be computed before the
// sequencer sees them.
type submit struct {
	one  [1]message.Message // the backing array of most
	msgs []message.Message
	keys []submitKey // nil if no message has a key
	done func([]engine.Receipt, error)

	others    []share          // what is for other applications than the first message; see fair.go
	sessions  []engine.Session // stored with the messages
	otherwise *message.Error   // of Recall; else nil
}

type submitKey struct {
	scope, predecessor scope
	content            uint64
}

// A queue is what waits for the sequencer, in order; see fair.go for what several
// applications make of it.
type queue struct {
	mu      sync.Mutex
	ops     []op           // that have come since the last take
	backlog backlog        // came before
	bytes   int            // of both
	apps    map[string]int // of these, of submits, by application
	closed  bool

	answers   []func() // to what was not taken
	answering bool     // they are being called
	over      bool     // nobody waits for that any more

	wake chan struct{}
	late sync.WaitGroup // for answers
}

var (
	errClosed = message.Errorf(message.Unavailable, "the server is stopping")
	errBusy   = message.Errorf(message.Unavailable, "too much is waiting to be stored; try again")
)

// put adds an op, or says why not.
func (q *queue) put(o op) *message.Error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return errClosed
	}
	if o.size > 0 && !q.admit(&o) {
		q.mu.Unlock()
		return errBusy
	}
	q.ops = append(q.ops, o)
	q.bytes += o.size
	first := len(q.ops) == 1
	q.mu.Unlock()
	if first {
		q.kick()
	}
	return nil
}

func (q *queue) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.kick()
}

// answerLate calls done from another goroutine than the sequencer's, which may be gone: one
// for all that are refused meanwhile. Close waits for those that were begun before its end.
func (q *queue) answerLate(done func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		go done()
		return
	}
	q.answers = append(q.answers, done)
	if !q.answering {
		q.answering = true
		q.late.Go(q.answerAll)
	}
}

// answerAll calls all answers that there are, and that come meanwhile.
func (q *queue) answerAll() {
	for {
		q.mu.Lock()
		answers := q.answers
		q.answers = nil
		q.answering = len(answers) > 0
		q.mu.Unlock()
		if len(answers) == 0 {
			return
		}
		for _, answer := range answers {
			answer()
		}
	}
}

// end waits for late answers.
func (q *queue) end() {
	q.mu.Lock()
	q.over = true
	q.mu.Unlock()
	q.late.Wait()
}

// Submit implements engine.Engine.
func (e *Engine) Submit(msgs []message.Message, done func([]engine.Receipt, error)) {
	e.SubmitSaving(msgs, nil, done)
}

// SubmitSaving implements engine.Engine.
func (e *Engine) SubmitSaving(msgs []message.Message, sessions []engine.Session, done func([]engine.Receipt, error)) {
	e.submit(&submit{done: done}, msgs, sessions)
}

// Recall implements engine.Recaller.
func (e *Engine) Recall(msgs []message.Message, sessions []engine.Session, otherwise *message.Error, done func([]engine.Receipt, error)) {
	e.submit(&submit{done: done, otherwise: otherwise}, msgs, sessions)
}

func (e *Engine) submit(s *submit, msgs []message.Message, sessions []engine.Session) {
	s.msgs = append(s.one[:0], msgs...)
	for i := range sessions {
		own := cloneSession(&sessions[i])
		own.Seen = e.time()
		s.sessions = append(s.sessions, own)
	}
	size, err := s.prepare()
	if err == nil {
		err = e.queue.put(op{submit: s, size: size + submitSize + saveSize*len(s.sessions)})
	}
	if err != nil {
		e.queue.answerLate(func() { s.done(nil, err) })
	}
}

// prepare measures the messages and hashes their keys.
func (s *submit) prepare() (size int, err *message.Error) {
	for i := range s.msgs {
		m := &s.msgs[i]
		n := m.Size()
		if size += n; n > maxMessage || size > maxSubmit {
			err := message.Errorf(message.TooLarge, "a message may have %d bytes and a batch %d", maxMessage, maxSubmit)
			err.Index = i
			return 0, err
		}
		if m.Key == "" {
			continue
		}
		if s.keys == nil {
			s.keys = make([]submitKey, len(s.msgs))
		}
		k := &s.keys[i]
		k.scope, k.content = scopeOf(m, m.Key), contentOf(m)
	}
	for i := range s.msgs {
		if m := &s.msgs[i]; m.Predecessor != "" {
			if s.keys == nil {
				s.keys = make([]submitKey, len(s.msgs))
			}
			s.keys[i].predecessor = scopeOf(m, m.Predecessor)
		}
	}
	s.divide()
	return size, nil
}

// SaveSession implements engine.SessionStore.
func (e *Engine) SaveSession(s engine.Session, done func(error)) {
	own := cloneSession(&s)
	own.Seen = e.time()
	e.putSession(op{save: &own, done: done, size: saveSize})
}

// DropSession implements engine.SessionStore.
func (e *Engine) DropSession(key engine.SessionKey, done func(error)) {
	e.putSession(op{drop: &key, done: done, size: 64})
}

func (e *Engine) putSession(o op) {
	if err := e.queue.put(o); err != nil {
		e.queue.answerLate(func() { o.done(err) })
	}
}

// MoveCursors implements engine.SessionStore. After Close they are dropped.
func (e *Engine) MoveCursors(moves []engine.CursorMove) {
	own := make([]engine.CursorMove, len(moves))
	for i, m := range moves {
		own[i] = m
		own[i].Cursor = cloneCursor(m.Cursor)
	}
	_ = e.queue.put(op{moves: own, at: e.time()})
}

// Probe returns nil once the sequencer, which alone writes the log, has had its
// turn: it neither hangs in the disk nor anywhere else.
func (e *Engine) Probe(ctx context.Context) error { return e.call(ctx, func() {}) }

// call runs f in the sequencer, after all that was asked for before.
func (e *Engine) call(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	if err := e.queue.put(op{call: func() { defer close(ran); f() }}); err != nil {
		return err
	}
	select {
	case <-ran:
		return nil
	case <-ctx.Done():
		return message.Errorf(message.Unavailable, "the storage is slow").Because(ctx.Err())
	}
}

package memory

import (
	"context"
	"slices"
	"sync"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

var _ engine.Engine = (*Engine)(nil)

// An Engine is a State behind a lock. What is asked of it happens at once; that
// it happened is told later, by the one goroutine that runs while there is
// something to tell, so that callers meet the same order of calls as with an
// engine that has to wait for a disk.
type Engine struct {
	options Options
	outbox  outbox

	mu      sync.Mutex
	state   *State
	clock   int64 // greatest time seen, Unix milliseconds: expiry is never taken back
	tails   map[*tail]struct{}
	refuses error
	quotas  map[string]int64 // see SetQuotas
	closed  bool
}

// A tail is one caller of Tail; its lock is held while deliver runs.
type tail struct {
	mu      sync.Mutex
	deliver func(engine.Batch)
	stopped bool
}

// New returns an empty engine in its first run.
func New(options Options) *Engine { return start(NewState(), options) }

func start(state *State, options Options) *Engine {
	state.Start(message.NewEpoch(), state.visible+1)
	return &Engine{options: options.withDefaults(), state: state, tails: map[*tail]struct{}{}, clock: state.time}
}

// Restart closes e and returns the engine that a new process would have in its
// place: the same content in a new run, without the memory channels.
func (e *Engine) Restart(options Options) *Engine {
	_ = e.Close(context.Background()) // waits for the last answer; cannot fail without a deadline
	e.mu.Lock()
	defer e.mu.Unlock()
	state := e.state
	e.state = NewState() // e is over: it must not see what its successor does
	e.state.Start(state.Epoch(), state.visible)
	return start(state, options)
}

// Refuse makes every later Submit fail with err, as a full disk does; nil ends
// that.
func (e *Engine) Refuse(err *message.Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuses = nil
	if err != nil {
		e.refuses = err
	}
}

// Forget drops all knowledge of a channel, as an engine that is short of memory
// does with one of which nothing is left.
func (e *Engine) Forget(ch channel.Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state.Forget(ch)
}

// Submit is engine.Engine's.
func (e *Engine) Submit(msgs []message.Message, done func([]engine.Receipt, error)) {
	e.SubmitSaving(msgs, nil, done)
}

// SubmitSaving is engine.Engine's.
func (e *Engine) SubmitSaving(msgs []message.Message, sessions []engine.Session, done func([]engine.Receipt, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	receipts, batch, err := e.store(msgs)
	for i := 0; err == nil && i < len(sessions); i++ {
		e.state.Sessions.Save(sessions[i], e.now())
	}
	tails := make([]*tail, 0, len(e.tails))
	for t := range e.tails {
		tails = append(tails, t)
	}
	e.outbox.add(func() {
		if len(batch.Messages) > 0 {
			for _, t := range tails {
				t.hand(batch)
			}
		}
		done(receipts, err)
	})
}

// Recall is engine.Recaller's.
func (e *Engine) Recall(msgs []message.Message, sessions []engine.Session, otherwise *message.Error, done func([]engine.Receipt, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	receipts, err := e.recall(msgs, otherwise)
	for i := 0; err == nil && i < len(sessions); i++ {
		e.state.Sessions.Save(sessions[i], e.now())
	}
	e.outbox.add(func() { done(receipts, err) })
}

// recall returns the receipts of what is stored; e.mu is held.
func (e *Engine) recall(msgs []message.Message, otherwise *message.Error) ([]engine.Receipt, error) {
	if err := e.refusing(); err != nil {
		return nil, err
	}
	e.state.Keys.Forget(e.now(), e.options.KeyWindow, e.options.KeyCount)
	receipts, _, err := e.state.Keys.Judge(msgs)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(receipts, func(r engine.Receipt) bool { return r.Offset == 0 }) {
		return nil, otherwise
	}
	return receipts, nil
}

// store judges msgs and stores those that are new; e.mu is held.
func (e *Engine) store(msgs []message.Message) ([]engine.Receipt, engine.Batch, error) {
	now := e.now()
	if err := e.refusing(); err != nil {
		return nil, engine.Batch{}, err
	}
	e.state.Keys.Forget(now, e.options.KeyWindow, e.options.KeyCount)
	receipts, repeats, err := e.state.Keys.Judge(msgs)
	if err != nil {
		return nil, engine.Batch{}, err
	}
	if err := e.judgeQuotas(msgs, receipts); err != nil {
		return nil, engine.Batch{}, err
	}
	if e.state.visible+message.Offset(len(msgs)) > message.MaxOffset {
		return nil, engine.Batch{}, message.Errorf(message.Unavailable, "all offsets are used up")
	}
	batch := engine.Batch{Epoch: e.state.Epoch()}
	for i, m := range msgs {
		switch {
		case !receipts[i].Duplicate:
			m.Offset, m.Time = e.state.visible+1, now
			batch.Messages = append(batch.Messages, e.state.Place(e.rule(m.Channel).Memory, m)...)
			receipts[i].Offset = m.Offset
		case receipts[i].Offset == 0:
			receipts[i].Offset = receipts[repeats[i]].Offset
		}
	}
	batch.Through = e.state.visible
	return receipts, batch, nil
}

// now returns the time, which never runs backwards; e.mu is held.
func (e *Engine) now() int64 {
	e.clock = max(e.clock, e.options.Now().UnixMilli())
	return e.clock
}

func (e *Engine) refusing() error {
	if e.closed {
		return message.Errorf(message.Unavailable, "the engine is closed")
	}
	return e.refuses
}

func (e *Engine) rule(ch channel.Name) engine.Rule {
	r := e.options.Rules(ch)
	if r.Memory && r.Messages == 0 {
		r.Messages = DefaultRing
	}
	return r
}

// trim applies the rules to channels; e.mu is held.
func (e *Engine) trim(channels ...channel.Name) {
	now := e.now()
	for _, ch := range channels {
		e.state.Trim(ch, e.state.Uncovered(ch, e.rule(ch), now))
	}
}

// Read is engine.Engine's.
func (e *Engine) Read(ctx context.Context, channels []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readable(ctx); err != nil {
		return engine.Batch{}, err
	}
	e.trim(channels...)
	isMemory := func(ch channel.Name) bool { return e.rule(ch).Memory }
	return e.state.Read(channels, after, limit, isMemory), nil
}

// History is engine.Engine's.
func (e *Engine) History(ctx context.Context, ch channel.Name, before message.Offset, limit engine.Limit) (engine.Batch, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readable(ctx); err != nil {
		return engine.Batch{}, err
	}
	e.trim(ch)
	return e.state.History(ch, before, limit), nil
}

func (e *Engine) readable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return message.Errorf(message.Unavailable, "the wait for the answer ended").Because(err)
	}
	if e.closed {
		return message.Errorf(message.Unavailable, "the engine is closed")
	}
	return nil
}

// Tip is engine.Engine's; ok is always true.
func (e *Engine) Tip(ch channel.Name) (engine.Tip, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return engine.Tip{Last: e.state.Last(ch), Visible: e.state.Visible()}, true
}

// Tail is engine.Engine's. stop waits for a call of deliver that is under way,
// so deliver must not call it.
func (e *Engine) Tail(deliver func(engine.Batch)) (stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &tail{deliver: deliver}
	e.tails[t] = struct{}{}
	return func() { e.untail(t) }
}

func (e *Engine) untail(t *tail) {
	e.mu.Lock()
	delete(e.tails, t)
	e.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
}

func (t *tail) hand(b engine.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.deliver(b)
	}
}

// SetRules is engine.Engine's. What the old rules did not cover is gone, whatever
// the new ones say.
func (e *Engine) SetRules(rules func(channel.Name) engine.Rule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ch := range e.state.channels {
		e.trim(ch)
	}
	e.options.Rules = rules
}

// Status is engine.Engine's.
func (e *Engine) Status() engine.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return engine.Status{Epoch: e.state.Epoch(), Visible: e.state.visible, Time: e.now(), Refusing: e.refusing()}
}

// Close is engine.Engine's. It must not be called from done or deliver, for it
// waits for them.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	return e.outbox.wait(ctx)
}

package enginetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
)

// A planted bug is an engine around a good one that does one thing wrong. Its
// world keeps what it has to remember across runs.
type planted struct {
	engine.Engine
	world *buggyWorld
}

// A buggyWorld is a memory world whose engines have a bug.
type buggyWorld struct {
	last *memory.Engine
	plant
	runs int

	mu      sync.Mutex
	crashed bool
	keys    map[string]bool
	hidden  map[string]bool // payloads
}

// A plant makes an engine buggy. Nil fields leave it as it is.
type plant struct {
	rule    func(engine.Rule) engine.Rule
	submit  func(p planted, msgs []message.Message, done func([]engine.Receipt, error))
	saving  func(p planted, msgs []message.Message, sessions []engine.Session, done func([]engine.Receipt, error))
	read    func(p planted, names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error)
	history func(engine.Batch) engine.Batch
	tip     func(engine.Tip) engine.Tip
	tail    func(p planted, b engine.Batch) engine.Batch
	save    func(p planted, s engine.Session, done func(error))
	drop    func(p planted, key engine.SessionKey, done func(error))
	move    func(p planted, moves []engine.CursorMove)
	status  func(p planted, s engine.Status) engine.Status
	crash   func(w *buggyWorld)
}

func (w *buggyWorld) Open(o Options) (engine.Engine, error) {
	options := memory.Options{Now: o.Now, KeyWindow: o.KeyWindow, KeyCount: o.KeyCount, Rules: w.rules(o.Rules)}
	w.crashed = false
	w.runs++
	if w.last == nil {
		w.last = memory.New(options)
	} else {
		w.last = w.last.Restart(options)
	}
	return planted{w.last, w}, nil
}

func (w *buggyWorld) rules(rules func(channel.Name) engine.Rule) func(channel.Name) engine.Rule {
	if w.rule == nil {
		return rules
	}
	return func(ch channel.Name) engine.Rule { return w.rule(rules(ch)) }
}

func (w *buggyWorld) Crash(*rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crashed = true
	if w.plant.crash != nil {
		w.plant.crash(w)
	}
}

func (p planted) SetRules(rules func(channel.Name) engine.Rule) {
	p.Engine.SetRules(p.world.rules(rules))
}

func (p planted) Submit(msgs []message.Message, done func([]engine.Receipt, error)) {
	if p.world.submit == nil {
		p.Engine.Submit(msgs, done)
		return
	}
	p.world.submit(p, append([]message.Message(nil), msgs...), done)
}

func (p planted) SubmitSaving(msgs []message.Message, sessions []engine.Session, done func([]engine.Receipt, error)) {
	if p.world.saving == nil {
		p.Engine.SubmitSaving(msgs, sessions, done)
		return
	}
	p.world.saving(p, slices.Clone(msgs), slices.Clone(sessions), done)
}

func (p planted) Read(ctx context.Context, names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
	var b engine.Batch
	var err error
	if p.world.read == nil {
		b, err = p.Engine.Read(ctx, names, after, limit)
	} else {
		b, err = p.world.read(p, names, after, limit)
	}
	b.Messages = p.world.visible(b.Messages)
	return b, err
}

// visible returns msgs without those that the bug hides.
func (w *buggyWorld) visible(msgs []message.Message) (shown []message.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range msgs {
		if !w.hidden[string(m.Data)] {
			shown = append(shown, m)
		}
	}
	return shown
}

func (w *buggyWorld) hide(m message.Message) { w.hidden[string(m.Data)] = true }

func (p planted) History(ctx context.Context, ch channel.Name, before message.Offset, limit engine.Limit) (engine.Batch, error) {
	b, err := p.Engine.History(ctx, ch, before, limit)
	b.Messages = p.world.visible(b.Messages)
	if p.world.history != nil {
		b = p.world.history(b)
	}
	return b, err
}

func (p planted) Tip(ch channel.Name) (engine.Tip, bool) {
	tip, ok := p.Engine.Tip(ch)
	if p.world.tip != nil {
		tip = p.world.tip(tip)
	}
	return tip, ok
}

func (p planted) Tail(deliver func(engine.Batch)) func() {
	return p.Engine.Tail(func(b engine.Batch) {
		if p.world.tail != nil {
			b.Messages = append([]message.Message(nil), b.Messages...)
			b = p.world.tail(p, b)
		}
		deliver(b)
	})
}

func (p planted) SaveSession(s engine.Session, done func(error)) {
	if p.world.save == nil {
		p.Engine.SaveSession(s, done)
		return
	}
	p.world.save(p, s, done)
}

func (p planted) DropSession(key engine.SessionKey, done func(error)) {
	if p.world.drop == nil {
		p.Engine.DropSession(key, done)
		return
	}
	p.world.drop(p, key, done)
}

func (p planted) MoveCursors(moves []engine.CursorMove) {
	if p.world.move == nil {
		p.Engine.MoveCursors(moves)
		return
	}
	p.world.move(p, append([]engine.CursorMove(nil), moves...))
}

func (p planted) Status() engine.Status {
	s := p.Engine.Status()
	if p.world.status != nil {
		s = p.world.status(p, s)
	}
	return s
}

// changed returns a submit that changes each message first.
func changed(change func(w *buggyWorld, m *message.Message)) func(planted, []message.Message, func([]engine.Receipt, error)) {
	return func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
		for i := range msgs {
			change(p.world, &msgs[i])
		}
		p.Engine.Submit(msgs, done)
	}
}

// readThen returns a read that changes the batch.
func readThen(change func(b *engine.Batch)) func(planted, []channel.Name, message.Position, engine.Limit) (engine.Batch, error) {
	return func(p planted, names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
		b, err := p.Engine.Read(context.Background(), names, after, limit)
		change(&b)
		return b, err
	}
}

// shifted gives offsets of the last run again in each later one.
func shifted(p planted, o message.Offset) message.Offset {
	if p.world.runs > 1 && o > 3 {
		return o - 3
	}
	return o
}

func plants() map[string]plant {
	return map[string]plant{
		"loses a message": {read: readThen(func(b *engine.Batch) {
			if n := len(b.Messages); n > 2 {
				b.Messages = append(b.Messages[:1:1], b.Messages[2:]...)
			}
		})},
		"loses the last of a page": {read: readThen(func(b *engine.Batch) {
			if n := len(b.Messages); n > 1 && b.More {
				b.Messages = b.Messages[:n-1]
			}
		})},
		"repeats at a resume": {read: func(p planted, names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
			if after.Offset > 1 {
				after.Offset--
			}
			return p.Engine.Read(context.Background(), names, after, limit)
		}},
		"reorders": {read: readThen(func(b *engine.Batch) {
			if len(b.Messages) > 1 {
				b.Messages[0], b.Messages[1] = b.Messages[1], b.Messages[0]
			}
		})},
		"swaps what two messages hold": {read: readThen(func(b *engine.Batch) {
			if m := b.Messages; len(m) > 1 && m[0].Channel == m[1].Channel {
				m[0].Data, m[1].Data = m[1].Data, m[0].Data
			}
		})},
		"answers before stored": {
			submit: func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
				p.Engine.Submit(msgs, func(r []engine.Receipt, err error) {
					p.world.mu.Lock()
					p.world.keys = map[string]bool{}
					if err == nil && len(r) > 0 && !r[0].Duplicate {
						p.world.keys[string(msgs[0].Data)] = true
					}
					p.world.mu.Unlock()
					done(r, err)
				})
			},
			crash: func(w *buggyWorld) { // the last answered was in no file yet
				for data := range w.keys {
					w.hidden[data] = true
				}
			},
		},
		"answers before shown": {tail: func(_ planted, b engine.Batch) engine.Batch {
			b.Messages = nil
			return b
		}},
		"tail skips": {tail: func(_ planted, b engine.Batch) engine.Batch {
			if b.Messages[0].Offset%13 == 0 {
				b.Messages = b.Messages[1:]
			}
			return b
		}},
		"stores half of what was under way": {submit: func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
			if len(msgs) == 0 {
				p.Engine.Submit(msgs, done)
				return
			}
			p.Engine.Submit(msgs, func(r []engine.Receipt, err error) {
				time.AfterFunc(100*time.Microsecond, func() {
					p.world.mu.Lock()
					if p.world.crashed {
						p.world.hide(msgs[0])
						r, err = nil, message.Errorf(message.Unknown, "the power went")
					}
					p.world.mu.Unlock()
					done(r, err)
				})
			})
		}},
		"gives offsets again": {
			submit: func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
				p.Engine.Submit(msgs, func(r []engine.Receipt, err error) {
					for i := range r {
						r[i].Offset = shifted(p, r[i].Offset)
					}
					done(r, err)
				})
			},
			tail: func(p planted, b engine.Batch) engine.Batch {
				for i := range b.Messages {
					b.Messages[i].Offset = shifted(p, b.Messages[i].Offset)
				}
				return b
			},
		},
		"keeps its epoch": {
			status:  func(_ planted, s engine.Status) engine.Status { s.Epoch = 7; return s },
			read:    readThen(func(b *engine.Batch) { b.Epoch = 7 }),
			history: func(b engine.Batch) engine.Batch { b.Epoch = 7; return b },
			tip:     func(t engine.Tip) engine.Tip { t.Visible.Epoch = 7; return t },
			tail:    func(_ planted, b engine.Batch) engine.Batch { b.Epoch = 7; return b },
		},
		"moves a cursor ahead": {move: func(p planted, moves []engine.CursorMove) {
			for i := range moves {
				if moves[i].Channel != "" {
					moves[i].Cursor.Position.Offset++
				}
			}
			p.Engine.MoveCursors(moves)
		}},
		"moves cursors back": {move: func(p planted, moves []engine.CursorMove) {
			p.Engine.MoveCursors(moves)
			for _, m := range moves {
				s, ok, _ := p.Engine.Session(context.Background(), m.Key)
				if i := subscription(s, m.Channel, m.ID); ok && i >= 0 {
					s.Subscriptions[i].Cursor = m.Cursor
					p.Engine.SaveSession(s, func(error) {})
				}
			}
		}},
		"shares a cursor among subscriptions": {save: func(p planted, s engine.Session, done func(error)) {
			s = cloneSession(s)
			for i := range s.Subscriptions {
				s.Subscriptions[i].Cursor = s.Subscriptions[0].Cursor
			}
			p.Engine.SaveSession(s, done)
		}},
		"loses a save": {save: func(p planted, s engine.Session, done func(error)) {
			if _, ok, _ := p.Engine.Session(context.Background(), s.Key); ok {
				p.Engine.MoveCursors(nil)
				p.Engine.Submit(nil, func([]engine.Receipt, error) { done(nil) })
				return
			}
			p.Engine.SaveSession(s, done)
		}},
		"loses what is saved with messages": {saving: func(p planted, msgs []message.Message, _ []engine.Session, done func([]engine.Receipt, error)) {
			p.Engine.Submit(msgs, done)
		}},
		"saves beside refused messages": {saving: func(p planted, msgs []message.Message, sessions []engine.Session, done func([]engine.Receipt, error)) {
			p.Engine.Submit(msgs, func(r []engine.Receipt, err error) {
				p.Engine.SubmitSaving(nil, sessions, func([]engine.Receipt, error) { done(r, err) })
			})
		}},
		"saves behind the messages": {saving: func(p planted, msgs []message.Message, sessions []engine.Session, done func([]engine.Receipt, error)) {
			p.Engine.Submit(msgs, func(r []engine.Receipt, err error) {
				time.AfterFunc(100*time.Microsecond, func() {
					p.world.mu.Lock()
					if p.world.crashed {
						err = message.Errorf(message.Unknown, "the power went")
					}
					p.world.mu.Unlock()
					if err != nil {
						done(nil, err)
						return
					}
					p.Engine.SubmitSaving(nil, sessions, func([]engine.Receipt, error) { done(r, nil) })
				})
			})
		}},
		"does not drop": {drop: func(p planted, _ engine.SessionKey, done func(error)) {
			p.Engine.Submit(nil, func([]engine.Receipt, error) { done(nil) })
		}},
		"trims one too far": {rule: func(r engine.Rule) engine.Rule {
			if r.Messages > 1 {
				r.Messages--
			}
			return r
		}},
		"trims too early": {rule: func(r engine.Rule) engine.Rule { r.Age -= r.Age / 2; return r }},
		"trims too late": {rule: func(r engine.Rule) engine.Rule {
			if r.Messages > 0 {
				r.Messages++
			}
			return r
		}},
		"ignores bytes":        {rule: func(r engine.Rule) engine.Rule { r.Bytes = 0; return r }},
		"is silent about gaps": {read: readThen(func(b *engine.Batch) { b.Gaps = nil })},
		"gaps too far": {read: readThen(func(b *engine.Batch) {
			for i := range b.Gaps {
				b.Gaps[i].To = b.Through
			}
		})},
		"takes any epoch": {read: func(p planted, names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
			s := p.Engine.Status()
			after.Epoch, after.Offset = s.Epoch, min(after.Offset, s.Visible)
			return p.Engine.Read(context.Background(), names, after, limit)
		}},
		"ignores the limit": {read: func(p planted, names []channel.Name, after message.Position, _ engine.Limit) (engine.Batch, error) {
			return p.Engine.Read(context.Background(), names, after, engine.Limit{})
		}},
		"claims too much": {read: readThen(func(b *engine.Batch) { b.More = false })},
		"history is one short": {history: func(b engine.Batch) engine.Batch {
			if n := len(b.Messages); n > 0 {
				b.Messages = b.Messages[:n-1]
			}
			return b
		}},
		"tip is stale": {tip: func(t engine.Tip) engine.Tip { t.Visible.Offset--; return t }},
		"forgets keys": {submit: changed(func(w *buggyWorld, m *message.Message) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if m.Key != "" && w.keys[m.Key] {
				m.Key = ""
			}
			w.keys[m.Key] = true
		})},
		"forgets keys in a restart": {submit: changed(func(w *buggyWorld, m *message.Message) {
			if w.runs > 1 && m.Key != "" {
				m.Key += "'"
			}
		})},
		"overlooks conflicts": {submit: changed(func(w *buggyWorld, m *message.Message) {
			if m.Key != "" && string(m.Data) == "other content" {
				m.Key += "'"
			}
		})},
		"takes late retries":      {submit: changed(func(_ *buggyWorld, m *message.Message) { m.First = 0 })},
		"ignores the predecessor": {submit: changed(func(_ *buggyWorld, m *message.Message) { m.Predecessor = "" })},
		"shares keys among publishers": {submit: changed(func(_ *buggyWorld, m *message.Message) {
			if m.Key != "" {
				m.Publisher = ""
			}
		})},
		"refuses without a code": {submit: func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
			p.Engine.Submit(msgs, func(r []engine.Receipt, err error) {
				if err != nil {
					err = errors.New(err.Error())
				}
				done(r, err)
			})
		}},
		"answers twice": {submit: func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
			p.Engine.Submit(msgs, func(r []engine.Receipt, err error) { done(r, err); done(r, err) })
		}},
		"stores some of a refused batch": {submit: func(p planted, msgs []message.Message, done func([]engine.Receipt, error)) {
			p.Engine.Submit(msgs, func(r []engine.Receipt, err error) {
				if err != nil && len(msgs) > 1 {
					p.Engine.Submit(msgs[:1], func([]engine.Receipt, error) {})
				}
				done(r, err)
			})
		}},
	}
}

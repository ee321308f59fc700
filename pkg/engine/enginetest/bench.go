package enginetest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// patience is how long an answer may take before it counts as never coming.
const patience = 20 * time.Second

// clockBegin is what the clock of every bench first shows, in Unix milliseconds.
const clockBegin = 1_700_000_000_000

// A bench drives one engine through operations and has the ledger judge each
// answer. One goroutine uses it. What fails ends the test.
type bench struct {
	t      T
	world  World
	ledger *ledger
	clock  atomic.Int64
	rules  map[channel.Name]engine.Rule
	faulty bool // file operations may fail: Unavailable and Unknown are answers
	notes  []string
	twice  atomic.Bool // a done was called twice

	// Of the current run.
	engine engine.Engine
	tail   *recorder
	maybe  []*submission // answered with Unknown, or not before the power went
}

// A submission is one Submit, or SubmitSaving, and its answer, which is there once
// answered is closed.
type submission struct {
	msgs     []message.Message
	saves    []saved // what becomes of sessions with it
	found    bool    // answered with Unknown, its messages turned out to be stored
	clock    int64
	answered chan struct{}
	receipts []engine.Receipt
	err      error
	calls    atomic.Int32
}

// newBench returns a bench for an empty world. open and begin start its engine.
func newBench(t T, world World, options Options, rules map[channel.Name]engine.Rule) *bench {
	b := &bench{t: t, world: world, rules: rules}
	b.clock.Store(clockBegin)
	options.Now = func() time.Time { return time.UnixMilli(b.clock.Load()) }
	options.Rules = ruleFunc(rules)
	b.ledger = newLedger(options)
	b.ledger.now, b.ledger.latest = clockBegin, clockBegin
	return b
}

func ruleFunc(rules map[channel.Name]engine.Rule) func(channel.Name) engine.Rule {
	rules = maps.Clone(rules)
	return func(ch channel.Name) engine.Rule { return rules[ch] }
}

func (b *bench) notef(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf("%4d  ", len(b.notes))+fmt.Sprintf(format, args...))
}

// check ends the test if err is not nil, with all that was done until then.
func (b *bench) check(err error) {
	b.t.Helper()
	if err == nil {
		return
	}
	name := strings.ReplaceAll(b.t.Name(), "/", "$/^")
	b.t.Fatalf("%v\n\nafter these operations:\n%s\n\nrun this one alone: go test -run '^%s$'", err, strings.Join(b.notes, "\n"), name)
}

func (b *bench) tick(d time.Duration) {
	b.clock.Add(d.Milliseconds())
	b.ledger.tick(d)
	if at := b.engine.Status().Time; at < b.ledger.now || at > b.ledger.latest {
		b.check(fmt.Errorf("the status has the time %d; want %d to %d", at, b.ledger.now, b.ledger.latest))
	}
}

func (b *bench) setRules(rules map[channel.Name]engine.Rule) {
	b.rules = rules
	b.ledger.expire()
	b.ledger.options.Rules = ruleFunc(rules)
	b.engine.SetRules(ruleFunc(rules))
	b.ledger.expire()
}

// names returns all channels, in order.
func (b *bench) names() []channel.Name { return slices.Sorted(maps.Keys(b.rules)) }

// open opens an engine on the world; the ledger learns of it with begin. On a
// failing disk it may take a second attempt.
func (b *bench) open() {
	b.t.Helper()
	e, err := b.world.Open(b.ledger.options)
	if err != nil && b.faulty {
		b.notef("open: %v", err)
		e, err = b.world.Open(b.ledger.options)
	}
	b.check(err)
	b.engine = e
}

// begin begins the run of the engine that was opened.
func (b *bench) begin() {
	b.t.Helper()
	status := b.engine.Status()
	if status.Refusing != nil && !b.faulty {
		b.check(fmt.Errorf("a fresh engine refuses publishes: %w", status.Refusing))
	}
	b.check(b.ledger.start(status.Epoch, status.Visible))
	b.tail = b.follow()
}

// close closes the engine for good, or before the next open.
func (b *bench) close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), patience)
	defer cancel()
	if err := b.engine.Close(ctx); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// send submits msgs and does not wait.
func (b *bench) send(msgs ...message.Message) *submission { return b.sendSaving(nil, msgs...) }

// sendSaving submits msgs, and sessions if there are any, and does not wait.
func (b *bench) sendSaving(sessions []engine.Session, msgs ...message.Message) *submission {
	s := &submission{msgs: msgs, clock: b.clock.Load(), answered: make(chan struct{})}
	for _, m := range msgs {
		b.notef("submit of %d: %s", len(msgs), describe(m))
	}
	done := func(receipts []engine.Receipt, err error) {
		if s.calls.Add(1) > 1 {
			b.twice.Store(true)
			return
		}
		s.receipts, s.err = receipts, err
		close(s.answered)
	}
	array := slices.Clone(msgs)
	if sessions == nil {
		b.engine.Submit(array, done)
	} else {
		own := make([]engine.Session, len(sessions))
		for i, v := range sessions {
			b.notef("saving session %+v", v)
			own[i] = cloneSession(v)
			s.saves = append(s.saves, saved{v.Key, b.ledger.saved(v)})
		}
		b.engine.SubmitSaving(array, own, done)
		clear(own)
	}
	clear(array) // the engine must not keep it
	return s
}

// publish submits groups of messages at once, waits for all answers and judges
// them.
func (b *bench) publish(groups ...[]message.Message) []*submission {
	b.t.Helper()
	var sent []*submission
	for _, msgs := range groups {
		sent = append(sent, b.send(msgs...))
	}
	b.settle(sent)
	return sent
}

// settle waits for answers and judges them.
func (b *bench) settle(sent []*submission) {
	b.t.Helper()
	for _, s := range sent {
		b.await(s.answered, "Submit")
	}
	shown := b.shown()
	late := b.late(shown, sent)
	for _, s := range sent {
		b.enter(&late, s.first()) // the ledger takes messages in their order
		b.judge(s, shown)
	}
	b.enter(&late, message.MaxOffset)
	for o := range shown {
		b.check(fmt.Errorf("the tail has offset %d, which nobody was told of", o))
	}
}

func (b *bench) await(done <-chan struct{}, what string) {
	b.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		b.check(fmt.Errorf("%s: done was not called", what))
	}
}

// judge has the ledger judge one answer.
func (b *bench) judge(s *submission, shown map[message.Offset]message.Message) {
	b.t.Helper()
	b.notef("answered: %v %v", s.receipts, s.err)
	switch code := message.CodeOf(s.err); {
	case code == "":
		before := b.ledger.visible
		b.check(b.ledger.accepted(s.msgs, s.receipts, shown, s.clock))
		if b.ledger.visible > before && slices.ContainsFunc(s.msgs, func(m message.Message) bool { return !b.rules[m.Channel].Memory && b.new(m, before) }) {
			b.ledger.committed()
		}
		b.ledger.savedWith(s)
	case code == message.Unknown && b.faulty:
		b.maybe = append(b.maybe, s)
		b.ledger.maybeSavedWith(s)
	case code == message.Unavailable && b.faulty:
	default:
		b.check(b.ledger.refused(s.msgs, s.err))
	}
}

// new reports whether the message of m's channel that was stored last came after
// an offset.
func (b *bench) new(m message.Message, before message.Offset) bool {
	return b.ledger.line(m.Channel).last > before
}

// restart closes the engine in good order and opens the next.
func (b *bench) restart() {
	b.t.Helper()
	b.notef("restart")
	last := b.engine.Status().Visible
	err := b.close()
	if err == nil {
		b.ledger.committed() // Close stores all cursors
	} else if !b.faulty {
		b.check(err)
	}
	b.reopen(last)
}

// crash cuts the power while sent and saves are under way, and opens the next
// engine. The rules must cover everything if anything was sent.
func (b *bench) crash(rng *rand.Rand, sent []*submission, saves []*saving) {
	b.t.Helper()
	b.notef("crash")
	last := b.engine.Status().Visible
	b.world.Crash(rng)
	_ = b.close() // its disk is gone: it may say so
	faulty := b.faulty
	b.faulty = true
	b.settle(sent)
	b.settleSaves(saves)
	b.faulty = faulty
	b.reopen(last)
	b.ledger.crashed()
}

// reopen opens an engine after one that came to last, and compares what is there.
func (b *bench) reopen(last message.Offset) {
	b.t.Helper()
	b.settle(nil) // what the tail was given last counts as well
	b.open()
	b.match(b.unheard(), b.maybe, false)
	for _, s := range b.maybe {
		if !s.found && len(b.parts(s, false)) > 0 {
			b.ledger.notSavedWith(s)
		}
	}
	b.maybe = nil
	b.ledger.end(max(last, b.ledger.visible))
	b.begin()
	b.learnSessions()
	b.audit()
}

// unheard reads the messages that are there and that the ledger does not have.
func (b *bench) unheard() (found []message.Message) {
	b.t.Helper()
	after := message.Position{}
	for {
		batch, err := b.engine.Read(b.t.Context(), b.names(), after, engine.Limit{})
		if err != nil && b.faulty {
			batch, err = b.engine.Read(b.t.Context(), b.names(), after, engine.Limit{})
		}
		b.check(err)
		for _, m := range batch.Messages {
			if !slices.ContainsFunc(b.ledger.line(m.Channel).all, func(o message.Message) bool { return o.Offset == m.Offset }) {
				found = append(found, m)
			}
		}
		if !batch.More {
			return found
		}
		after = message.Position{Epoch: batch.Epoch, Offset: batch.Through}
	}
}

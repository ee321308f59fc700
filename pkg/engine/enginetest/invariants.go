package enginetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// An invariant is a named test, after the number it has in the contract.
type invariant struct {
	name string
	test func(T, World)
}

func invariants() []invariant {
	return []invariant{
		{"1_answered_survives_a_crash", answeredSurvives},
		{"2_offsets_increase", offsetsIncrease},
		{"2_concurrent_publishers", concurrentPublishers},
		{"3_read_all_or_a_gap", readAllOrGap},
		{"3_other_history_is_a_gap", otherHistory},
		{"3_limits", limits},
		{"3_memory_channel_says_lost", memoryLost},
		{"4_one_key_one_message", oneKey},
		{"4_keys_expire", keysExpire},
		{"5_trim_keeps_what_is_covered", trimKeeps},
		{"5_cursors_never_backwards", cursorsForward},
		{"7_errors_are_definite", definiteErrors},
		{"8_all_or_none", allOrNone},
		{"8_all_or_none_with_sessions", allOrNoneSaving},
		{"9_sessions_survive_a_crash", sessionsSurvive},
		{"quotas", quotas},
		{"tail_before_done", tailBeforeDone},
		{"closed", closed},
	}
}

const (
	logA  = channel.Name("/log/a")
	logB  = channel.Name("/log/b")
	ringA = channel.Name("/ring/a")
)

// plain returns a bench with two channels on disk and one in memory, on which
// nothing is trimmed but by the ring, and starts its engine.
func plain(t T, world World) *bench {
	t.Helper()
	b := plainBench(t, world)
	b.open()
	b.begin()
	return b
}

func plainBench(t T, world World) *bench {
	return newBench(t, world, Options{KeyWindow: time.Hour, KeyCount: 1000}, map[channel.Name]engine.Rule{
		logA:  {},
		logB:  {},
		ringA: {Memory: true, Messages: 5},
	})
}

func text(ch channel.Name, data string) message.Message {
	return message.Message{Channel: ch, Publisher: "alice", Data: []byte(data)}
}

func withKey(m message.Message, key string) message.Message {
	m.Key = key
	return m
}

func one(m message.Message) []message.Message { return []message.Message{m} }

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// finish ends a test: everything is compared, also after a last restart.
func (b *bench) finish() {
	b.t.Helper()
	b.audit()
	b.restart()
	b.check(b.close())
}

func answeredSurvives(t T, world World) {
	b := plain(t, world)
	rng := newRand()
	for i := range 20 {
		b.publish(one(text(logA, fmt.Sprint("a", i))))
		if i%3 == 0 {
			b.publish([]message.Message{text(logB, fmt.Sprint("b", i)), text(logA, fmt.Sprint("c", i))})
		}
		b.crash(rng, nil, nil)
	}
	b.finish()
}

func offsetsIncrease(t T, world World) {
	b := plain(t, world)
	rng := newRand()
	for i := range 12 {
		b.publish(one(text(ringA, fmt.Sprint("r", i))), one(text(logA, fmt.Sprint("a", i))), one(text(ringA, fmt.Sprint("s", i))))
		if i%2 == 0 {
			b.publish(one(text(ringA, fmt.Sprint("last", i)))) // the greatest offset is on no disk
		}
		if i%3 == 0 {
			b.restart()
		} else {
			b.crash(rng, nil, nil)
		}
	}
	b.finish()
}

// concurrentPublishers has many publishers at once; each one's messages keep
// their order, and everybody reads the same.
func concurrentPublishers(t T, world World) {
	const publishers, each = 8, 40
	b := plain(t, world)
	receipts := make([][]engine.Receipt, publishers)
	errs := make([]error, publishers)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() { receipts[p], errs[p] = publishEach(t, b.engine, p, each) })
	}
	wg.Wait()
	b.check(errors.Join(errs...))
	shown := b.shown()
	if len(shown) != publishers*each {
		b.check(fmt.Errorf("the tail has %d messages, %d were answered", len(shown), publishers*each))
	}
	for p := range publishers {
		last := message.Offset(0)
		for i, r := range receipts[p] {
			if m := shown[r.Offset]; r.Offset <= last || string(m.Data) != fmt.Sprintf("%d:%d", p, i) {
				b.check(fmt.Errorf("publisher %d's message %d: offset %d after %d, holds %q", p, i, r.Offset, last, m.Data))
			}
			last = r.Offset
		}
	}
	batch, err := b.engine.Read(t.Context(), []channel.Name{logA, logB}, message.Position{}, engine.Limit{Messages: 2 * publishers * each, Bytes: 1 << 20})
	b.check(err)
	if len(batch.Messages) != publishers*each {
		b.check(fmt.Errorf("%d messages can be read, %d were answered", len(batch.Messages), publishers*each))
	}
	b.check(b.close())
}

func publishEach(t T, e engine.Engine, publisher, n int) ([]engine.Receipt, error) {
	var all []engine.Receipt
	for i := range n {
		m := text([]channel.Name{logA, logB}[(publisher+i)%2], fmt.Sprintf("%d:%d", publisher, i))
		receipts, err := engine.Publish(t.Context(), e, m)
		if err != nil {
			return nil, fmt.Errorf("publisher %d: %w", publisher, err)
		}
		all = append(all, receipts...)
	}
	return all, nil
}

func readAllOrGap(t T, world World) {
	b := plain(t, world)
	for i := range 10 {
		b.publish(one(text(logA, fmt.Sprint(i))), one(text(logB, fmt.Sprint(i))))
	}
	b.setRules(map[channel.Name]engine.Rule{logA: {Messages: 3}, logB: {Age: time.Minute}, ringA: b.rules[ringA]})
	b.everyPosition()
	b.tick(time.Hour) // of logB nothing is left, but where it ended
	b.everyPosition()
	b.crash(newRand(), nil, nil)
	b.everyPosition()
	b.publish(one(text(logB, "again")))
	b.everyPosition()
	b.finish()
}

// everyPosition reads from every offset that makes a difference, together and
// channel by channel, in pages and at once.
func (b *bench) everyPosition() {
	b.t.Helper()
	offsets := map[message.Offset]bool{0: true, b.ledger.first(): true}
	for _, n := range b.ledger.lines {
		for _, m := range n.all {
			offsets[m.Offset-1], offsets[m.Offset] = true, true
		}
	}
	for o := range offsets {
		at := message.Position{Epoch: b.ledger.epoch(), Offset: o}
		b.readAll(b.names(), at, engine.Limit{})
		b.readAll(b.names(), at, engine.Limit{Messages: 2})
		b.read([]channel.Name{logB}, at, engine.Limit{})
		b.history(logA, o, engine.Limit{Messages: 2})
	}
}

func otherHistory(t T, world World) {
	b := plain(t, world)
	b.publish(one(text(logA, "1")), one(text(logB, "2")))
	first := b.ledger.epoch()
	at := b.engine.Status().Visible
	foreign := []message.Position{{Epoch: 0xbad, Offset: 1}, {Epoch: 0xbad, Offset: 1 << 40}, {Offset: 1}, {Epoch: first, Offset: at + 1000}}
	read := func() {
		t.Helper()
		for _, p := range foreign {
			b.read(b.names(), p, engine.Limit{})
			b.read([]channel.Name{"/never/used"}, p, engine.Limit{})
		}
		b.read(b.names(), message.Position{Epoch: first, Offset: at}, engine.Limit{}) // and this one is good
	}
	read()
	b.restart()
	b.publish(one(text(logA, "3")))
	foreign[3].Offset = b.engine.Status().Visible // of this run, but said to be of the first
	read()
	b.finish()
}

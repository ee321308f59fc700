package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A model is a rig in which everything happens at random while messages are
// published, and consumers that keep their positions by the client's rule of
// PROTOCOL.md. What they may not see, they complain of.
type model struct {
	*rig
	rnd       *rand.Rand
	consumers []*consumer
	pending   sync.WaitGroup // publishes

	mu     sync.Mutex
	truth  map[channel.Name][]message.Offset // committed
	barred map[channel.Name]bool             // since the last reload has returned
	faults []string
}

const modelTTL = time.Minute

var modelChannels = []channel.Name{"/a", "/b", "/c"}

// Whatever falls together, each consumer sees each message of its channels once
// and in order, or is told of a gap where retention has removed it; nothing comes
// that the rules forbid; and a stored cursor is between what was acknowledged and
// what that may be taken for.
func TestModel(t *testing.T) {
	seeds := 100
	if testing.Short() {
		seeds = 25
	}
	for seed := range seeds {
		dir := ""
		if seed%4 == 3 {
			dir = t.TempDir()
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, uint64(seed), dir) })
	}
}

func runModel(t *testing.T, seed uint64, dir string) {
	rnd := rand.New(rand.NewPCG(11, seed))
	limits := session.Limits{TTL: modelTTL, Window: 1 + rnd.IntN(20), WindowBytes: 200 + rnd.IntN(3000)}
	store := engine.Rule{}
	if rnd.IntN(2) == 0 {
		store.Messages = 20 + rnd.IntN(50)
	}
	m := &model{
		rig: newRig(t, rigOptions{limits: limits, dir: dir, store: store}), rnd: rnd,
		truth: map[channel.Name][]message.Offset{}, barred: map[channel.Name]bool{},
	}
	m.record()
	for i := range 6 {
		c := &consumer{m: m, number: i, subs: map[channel.Name]*standing{}}
		c.q = session.Request{Who: alice, Manual: i%2 == 1}
		if i >= 2 {
			c.q.Name = fmt.Sprint("device", i)
		}
		m.consumers = append(m.consumers, c)
	}
	for range 150 {
		m.step()
	}
	m.finish()
	m.verify()
}

// record notes what is committed.
func (m *model) record() {
	stop := m.stopTail
	note := m.engine.Tail(func(b engine.Batch) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := range b.Messages {
			name := b.Messages[i].Channel
			m.truth[name] = append(m.truth[name], b.Messages[i].Offset)
		}
	})
	m.stopTail = func() { note(); stop() }
}

func (m *model) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

func (m *model) step() {
	c := m.consumers[m.rnd.IntN(len(m.consumers))]
	switch p := m.rnd.IntN(100); {
	case p < 35:
		m.publishSome()
	case p < 55:
		c.act()
	case p < 77:
		c.ackSome()
	case p < 85:
		if c.c == nil {
			c.connect()
		} else {
			c.disconnect()
		}
	case p < 91:
		m.reloadSome()
	case p < 94:
		m.pass(modelTTL / 2)
	case p < 98:
		m.checkCursors()
	default:
		m.restartAll()
	}
}

func (m *model) publishSome() {
	msgs := make([]message.Message, 1+m.rnd.IntN(8))
	for i := range msgs {
		data := make([]byte, 1+m.rnd.IntN(300))
		for j := range data {
			data[j] = 'x'
		}
		msgs[i] = message.Message{Channel: modelChannels[m.rnd.IntN(len(modelChannels))], Data: data}
	}
	m.pending.Add(1)
	m.engine.Submit(msgs, func(_ []engine.Receipt, err error) {
		defer m.pending.Done()
		if err != nil {
			m.t.Error(err)
		}
	})
}

// reloadSome forbids or allows channels at random.
func (m *model) reloadSome() {
	var rules []acl.Rule
	barred := map[channel.Name]bool{}
	for _, name := range modelChannels {
		if m.rnd.IntN(4) == 0 {
			barred[name] = true
			rules = append(rules, rule(m.t, string(name), "user:bob"))
		}
	}
	m.mu.Lock()
	for name := range m.barred {
		if !barred[name] {
			delete(m.barred, name)
		}
	}
	m.mu.Unlock()
	m.reload(append(rules, rule(m.t, "/**", "*"))...)
	m.mu.Lock()
	m.barred = barred
	m.mu.Unlock()
}

func (m *model) restartAll() {
	m.pending.Wait()
	m.restart()
	m.record()
	for _, c := range m.consumers {
		c.c = nil
	}
}

// checkCursors compares what is stored with what was acknowledged.
func (m *model) checkCursors() {
	m.t.Helper()
	m.settle()
	stored := map[string]engine.Session{}
	for _, c := range m.consumers {
		if c.q.Name != "" {
			stored[c.q.Name] = m.stored(c.q.Name)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.consumers {
		for _, sub := range stored[c.q.Name].Subscriptions {
			s, at := c.subs[sub.Channel], sub.Cursor.Position.Offset
			if s != nil && (at < s.acked || at > s.bound) {
				m.fault("consumer %d: the cursor of %s is %d, want %d to %d", c.number, sub.Channel, at, s.acked, s.bound)
			}
		}
	}
}

// finish lets everybody catch up.
func (m *model) finish() {
	m.t.Helper()
	m.pending.Wait()
	m.mu.Lock()
	m.barred = map[channel.Name]bool{}
	m.mu.Unlock()
	m.reload(rule(m.t, "/**", "*"))
	for _, c := range m.consumers {
		if c.c == nil {
			c.connect()
		}
		c.c.do(func(s *session.Session) { c.c.conn.blocked = false; s.Writable() })
	}
	m.publish("/a", "x")
	m.publish("/b", "x")
	m.publish("/c", "x")
	for deadline := time.Now().Add(patience); !m.caughtUp(); {
		if time.Now().After(deadline) {
			m.t.Fatal("not everybody catches up")
		}
		for _, c := range m.consumers {
			c.ackAll()
		}
		m.settle()
	}
	m.checkCursors()
}

func (m *model) caughtUp() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.consumers {
		for name, s := range c.subs {
			if last := m.truth[name]; !s.known || s.position.Offset < last[len(last)-1] {
				return len(m.faults) > 0
			}
		}
	}
	return true
}

// verify compares what was skipped with what there was.
func (m *model) verify() {
	m.t.Helper()
	oldest := map[channel.Name]message.Offset{}
	for _, name := range modelChannels {
		b, err := m.broker.Read(m.t.Context(), name, message.Position{}, engine.Limit{Messages: 1})
		must(m.t, err)
		oldest[name] = b.Messages[0].Offset
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.consumers {
		for _, k := range c.skipped {
			lost := slices.ContainsFunc(m.truth[k.ch], func(o message.Offset) bool {
				return o > k.from && o <= k.to && (!k.expired || o >= oldest[k.ch])
			})
			if lost {
				m.fault("consumer %d was moved from %d to %d on %s, past a message", c.number, k.from, k.to, k.ch)
			}
		}
	}
	for _, fault := range m.faults[:min(len(m.faults), 10)] {
		m.t.Error(fault)
	}
}

package enginetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// Differential opens an engine on world and drives it through random operations
// that seed determines.
func Differential(t T, world World, seed uint64) {
	t.Helper()
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0))}
	options := Options{
		KeyWindow: pick(g, 30*time.Second, 10*time.Minute, 24*time.Hour),
		KeyCount:  pick(g, 4, 20, 1000),
	}
	g.bench = newBench(t, world, options, g.newRules())
	g.open()
	g.begin()
	defer func() { _ = g.close() }() // again, where the test ended early
	for range Operations {
		g.step()
	}
	g.endTails()
	g.audit()
	g.check(g.close())
}

// A generator makes up operations and has the bench carry them out.
type generator struct {
	*bench
	rng       *rand.Rand
	serial    int               // numbers payloads and keys
	tried     []message.Message // those with a key, for retries
	positions []message.Position
	tails     []extraTail
}

type extraTail struct {
	*recorder
	from int // how much the main tail had delivered before
}

func pick[V any](g *generator, of ...V) V    { return of[g.rng.IntN(len(of))] }
func (g *generator) chance(percent int) bool { return g.rng.IntN(100) < percent }

// step carries out one operation.
func (g *generator) step() {
	g.t.Helper()
	operations := []struct {
		weight int
		do     func()
	}{
		{30, func() { g.publish(g.messages(1)) }},
		{12, func() { g.publish(g.messages(2 + g.rng.IntN(4))) }},
		{8, g.publishMany},
		{20, func() { g.read(g.someNames(), g.position(), g.limit()) }},
		{4, func() { g.readAll(g.someNames(), g.position(), g.limit()) }},
		{6, func() { g.history(g.name(), g.offset(), g.limit()) }},
		{4, func() { g.tip(g.name()) }},
		{4, g.save},
		{4, g.publishSaving},
		{1, func() { g.settleSaves([]*saving{g.dropSession(g.key())}) }},
		{6, func() { g.move(g.moves()...) }},
		{4, func() { g.session(g.key()) }},
		{10, g.passTime},
		{3, func() { g.notef("new rules"); g.setRules(g.newRules()) }},
		{2, g.extraTail},
		{1, func() { g.endTails(); g.restart() }},
		{2, g.crashAnywhere},
	}
	total := 0
	for _, o := range operations {
		total += o.weight
	}
	n := g.rng.IntN(total)
	for _, o := range operations {
		if n -= o.weight; n < 0 {
			o.do()
			break
		}
	}
	g.positions = append(g.positions, message.Position{Epoch: g.ledger.epoch(), Offset: g.ledger.visible})
}

// newRules returns rules for all channels. Those of a memory channel stay so.
func (g *generator) newRules() map[channel.Name]engine.Rule {
	rules := map[channel.Name]engine.Rule{}
	for i := range 4 {
		rules[channel.Name(fmt.Sprintf("/log/%d", i))] = engine.Rule{
			Age:      pick(g, 0, 0, 10*time.Second, 5*time.Minute),
			Messages: pick(g, 0, 0, 1, 3, 10),
			Bytes:    int64(pick(g, 0, 0, 600, 3000)),
		}
	}
	for i := range 2 {
		rules[channel.Name(fmt.Sprintf("/ring/%d", i))] = engine.Rule{
			Memory:   true,
			Age:      pick(g, 0, 0, 10*time.Second),
			Messages: pick(g, 1, 3, 10),
		}
	}
	return rules
}

// wideRules cover everything but what overflows a ring.
func (g *generator) wideRules() map[channel.Name]engine.Rule {
	rules := map[channel.Name]engine.Rule{}
	for name, r := range g.rules {
		rules[name] = engine.Rule{Memory: r.Memory}
		if r.Memory {
			rules[name] = engine.Rule{Memory: true, Messages: 10}
		}
	}
	return rules
}

func (g *generator) name() channel.Name { return pick(g, g.names()...) }

func (g *generator) someNames() []channel.Name {
	if g.chance(30) {
		return []channel.Name{g.name()}
	}
	names := g.names()
	g.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:1+g.rng.IntN(len(names))]
}

func (g *generator) limit() engine.Limit {
	return pick(g, engine.Limit{}, engine.Limit{}, engine.Limit{Messages: 1}, engine.Limit{Messages: 4}, engine.Limit{Bytes: 400})
}

func (g *generator) offset() message.Offset {
	if g.chance(30) {
		return 0
	}
	return message.Offset(1 + g.rng.Uint64N(uint64(g.ledger.visible)+2))
}

// position returns where a reader may claim to stand.
func (g *generator) position() message.Position {
	switch n := g.rng.IntN(100); {
	case n < 20 || len(g.positions) == 0:
		return message.Position{Epoch: pick(g, 0, g.ledger.epoch(), 7)}
	case n < 30: // of another history
		return message.Position{Epoch: message.Epoch(g.rng.Uint64() | 1), Offset: g.offset() + 1}
	case n < 35: // beyond the end of a run
		r := pick(g, g.ledger.runs...)
		return message.Position{Epoch: r.epoch, Offset: g.engine.Status().Visible + 1 + message.Offset(g.rng.IntN(2000))}
	case n < 55: // an offset of an earlier run, learned in this one
		return message.Position{Epoch: g.ledger.epoch(), Offset: pick(g, g.positions...).Offset}
	}
	return g.positions[len(g.positions)-1-min(g.rng.IntN(len(g.positions)), g.rng.IntN(len(g.positions)))]
}

// messages returns messages for one Submit.
func (g *generator) messages(n int) []message.Message {
	var msgs []message.Message
	for range n {
		if len(g.tried) > 0 && g.chance(20) {
			msgs = append(msgs, g.retry())
		} else {
			msgs = append(msgs, g.message())
		}
	}
	return msgs
}

// message returns a message that was never sent.
func (g *generator) message() message.Message {
	g.serial++
	m := message.Message{
		Channel:   g.name(),
		Publisher: pick(g, "", "alice", "bob"),
		Data:      fmt.Appendf(nil, "%d:%*d", g.serial, g.rng.IntN(150), 0),
	}
	if g.chance(10) {
		m.ContentType = "text/plain"
		m.Headers = []message.Header{{Name: "n", Value: fmt.Sprint(g.serial)}, {Name: "n", Value: ""}}
	}
	if g.chance(50) {
		g.withKey(&m)
	}
	return m
}

func (g *generator) withKey(m *message.Message) {
	now := g.ledger.now
	window := g.ledger.options.KeyWindow.Milliseconds()
	m.Key = fmt.Sprintf("k%d", g.serial)
	m.First = pick(g, 0, 0, now, now-1, now-window/2, now-window-1000)
	if len(g.tried) > 0 && g.chance(15) {
		before := pick(g, g.tried...)
		m.Channel, m.Publisher, m.Predecessor = before.Channel, before.Publisher, before.Key
	}
	if g.chance(3) {
		m.Predecessor = "never used"
	}
	again := *m
	if again.First == 0 {
		again.First = now
	}
	g.tried = append(g.tried, again)
}

// retry returns a message whose key was sent before.
func (g *generator) retry() message.Message {
	recent := max(0, len(g.tried)-10)
	m := g.tried[g.rng.IntN(len(g.tried))]
	if g.chance(60) {
		m = g.tried[recent+g.rng.IntN(len(g.tried)-recent)]
	}
	switch n := g.rng.IntN(100); {
	case n < 15:
		m.Data = []byte("other content")
	case n < 25:
		m.First = 0
	case n < 30:
		m.Publisher += "x" // another scope
	}
	return m
}

// publishMany has several Submits outstanding at once.
func (g *generator) publishMany() {
	g.t.Helper()
	var groups [][]message.Message
	for range 2 + g.rng.IntN(5) {
		groups = append(groups, g.messages(1+g.rng.IntN(2)))
	}
	g.publish(groups...)
}

func (g *generator) passTime() {
	d := pick(g, time.Millisecond, 100*time.Millisecond, time.Second, 2*time.Second, 20*time.Second, time.Hour, -time.Second, -10*time.Second)
	g.notef("clock %v", d)
	g.tick(d)
}

func (g *generator) extraTail() {
	g.notef("tail")
	g.tails = append(g.tails, extraTail{from: g.bench.tail.count(), recorder: g.follow()})
}

func (g *generator) endTails() {
	g.t.Helper()
	for _, tail := range g.tails {
		g.follows(tail.recorder, tail.from)
	}
	g.tails = nil
}

// crashAnywhere cuts the power, often with something under way.
func (g *generator) crashAnywhere() {
	g.t.Helper()
	g.endTails()
	var sent []*submission
	var saves []*saving
	if g.chance(70) {
		g.setRules(g.wideRules()) // else what the crash kept could be hidden
		g.move(g.moves()...)
		for range g.rng.IntN(6) {
			if g.chance(30) {
				sent = append(sent, g.sendSaving(g.newSessions(), g.news()...))
			} else {
				sent = append(sent, g.send(g.news()...))
			}
		}
		if g.chance(50) {
			saves = append(saves, g.saveSession(g.newSession()))
		}
		if len(sent) > 0 && g.chance(30) {
			g.await(pick(g, sent...).answered, "Submit") // a crash between two answers
		}
	}
	g.crash(g.rng, sent, saves)
	g.setRules(g.newRules())
}

// news returns messages that were never sent, for one Submit, in which nothing is
// to be refused.
func (g *generator) news() []message.Message {
	var msgs []message.Message
	for range 1 + g.rng.IntN(4) {
		m := g.message()
		m.First, m.Predecessor = 0, ""
		msgs = append(msgs, m)
	}
	return msgs
}

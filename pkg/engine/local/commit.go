package local

import (
	"encoding/binary"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
)

// ceilingBlock is how many offsets memory channels take at a time.
const ceilingBlock = 4096

// A commit is what is made durable together, then shown together, then
// answered. The sequencer owns it.
type commit struct {
	time    int64
	keyTime int64 // what keys are stored with; see clock
	batch   seglog.Batch
	ceiling message.Offset
	durable bool // something must be on disk before any of it is shown
	onDisk  bool // a message is among what must be

	messages []message.Message
	channels []*channelState // of messages
	inMemory []bool          // of messages
	receipts []engine.Receipt
	answers  []answer
	then     []func() // run once it is durable, in order
	saves    []*session
	cursors  []*session

	staged map[string]int64 // bytes of bounded applications

	keys int // the key table's length before, to go back to
	from message.Offset
}

// An answer is for somebody who waits: for a submit, or, without one, for done.
type answer struct {
	submit   *submit
	receipts []engine.Receipt
	refused  *message.Error // whatever becomes of the commit
	settled  bool           // the receipts are true, whatever becomes of it
	done     func(error)
}

func (a *answer) give(err *message.Error) {
	if a.refused != nil {
		err = a.refused
	}
	switch {
	case a.submit == nil && err == nil:
		a.done(nil)
	case a.submit == nil:
		a.done(err)
	case err == nil || a.settled && a.refused == nil:
		a.submit.done(a.receipts, nil)
	default:
		a.submit.done(nil, err)
	}
}

func (c *commit) reset(time, keyTime int64) {
	c.time, c.keyTime, c.ceiling, c.durable, c.onDisk = time, keyTime, 0, false, false
	c.batch.Reset()
	c.messages, c.receipts = nil, nil // whoever was handed the last ones keeps them
	clear(c.channels)
	clear(c.answers)
	clear(c.then)
	clear(c.saves)
	c.channels, c.inMemory, c.answers, c.then = c.channels[:0], c.inMemory[:0], c.answers[:0], c.then[:0]
	c.saves, c.cursors = c.saves[:0], nil
	c.from = 0
	clear(c.staged)
}

// run does what was to be done once the batch is durable.
func (c *commit) run() {
	for _, f := range c.then {
		f()
	}
}

// answer tells everybody who waits. A nil error is success for those who were
// not refused before.
func (c *commit) answer(err *message.Error) {
	for i := range c.answers {
		c.answers[i].give(err)
	}
}

// expect makes room for the messages of ops, at once: it is for whoever is handed
// them to keep, so that it is not used again.
func (c *commit) expect(ops []op) {
	n, bytes := 0, 0
	for i := range ops {
		if bytes += ops[i].size; bytes > commitBytes && n > 0 {
			break
		}
		if s := ops[i].submit; s != nil {
			n += len(s.msgs)
		}
	}
	c.messages, c.receipts = make([]message.Message, 0, n), make([]engine.Receipt, 0, n)
}

// stageSubmit gives offsets to the messages of s, all or none, and adds its sessions.
func (e *Engine) stageSubmit(c *commit, s *submit) {
	refused := e.judge(c, s)
	if refused != nil {
		c.answers = append(c.answers, answer{submit: s, refused: refused})
		return
	}
	begin := len(c.receipts)
	for i := range s.msgs {
		c.receipts = append(c.receipts, e.stageMessage(c, s, i))
	}
	for i := range s.sessions {
		e.stageSession(c, s.sessions[i])
	}
	receipts := c.receipts[begin:len(c.receipts):len(c.receipts)]
	settled := len(s.sessions) == 0 && e.settled(c, receipts)
	c.answers = append(c.answers, answer{submit: s, receipts: receipts, settled: settled})
}

// settled reports whether the receipts are true whatever becomes of the batch:
// all are of messages stored before.
func (e *Engine) settled(c *commit, receipts []engine.Receipt) bool {
	from := c.from
	if len(c.messages) == 0 {
		from = e.seq.next
	}
	for _, r := range receipts {
		if !r.Duplicate || r.Offset >= from {
			return false
		}
	}
	return true
}

// state returns a channel's state and rule, for the sequencer.
func (e *Engine) state(name channel.Name) (*channelState, engine.Rule) {
	e.mu.RLock()
	if c := e.channels[name]; c != nil {
		defer e.mu.RUnlock()
		return c, c.rule
	}
	e.mu.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.channel(name)
	return c, c.rule
}

// stageMessage gives message i of s its offset, unless its key has one.
func (e *Engine) stageMessage(c *commit, s *submit, i int) engine.Receipt {
	m := &s.msgs[i]
	if m.Key != "" {
		if k, known := e.seq.keys.get(s.keys[i].scope); known {
			return engine.Receipt{Offset: k.offset, Duplicate: true}
		}
	}
	ch, rule := e.state(m.Channel)
	if len(c.messages) == 0 {
		c.from, c.keys = e.seq.next, e.seq.keys.len()
	}
	c.messages = append(c.messages, *m)
	m = &c.messages[len(c.messages)-1] // s stays as it is: it may be staged again
	m.Channel, m.Offset, m.Previous, m.Time = ch.name, e.seq.next, ch.tip, c.time
	m.First, m.Predecessor = 0, ""
	ch.tip = m.Offset
	e.seq.next++
	if m.Key != "" {
		e.seq.keys.put(s.keys[i].scope, keyed{s.keys[i].content, m.Offset, c.keyTime, rule.Memory})
	}
	if !rule.Memory {
		c.durable, c.onDisk = true, true
		c.add(ch, m)
	}
	c.channels = append(c.channels, ch)
	c.inMemory = append(c.inMemory, rule.Memory)
	return engine.Receipt{Offset: m.Offset}
}

// add writes m into the batch.
func (c *commit) add(ch *channelState, m *message.Message) {
	r := seglog.Record{Type: typeMessage, Offset: uint64(m.Offset), Prev: uint64(ch.toDisk), Time: m.Time, Size: uint32(m.Size())}
	if m.Previous != ch.toDisk {
		r.Type = typeAfter
	}
	c.batch.Add(ch.stream, &r, func(b []byte) []byte {
		if r.Type == typeAfter {
			b = binary.AppendUvarint(b, uint64(m.Previous))
		}
		return appendMessage(b, m)
	})
	ch.toDisk = m.Offset
}

// show makes a durable commit readable and hands it over.
func (e *Engine) show(c *commit) {
	if len(c.messages) == 0 {
		return
	}
	limited := false
	e.mu.Lock()
	for i, ch := range c.channels {
		ch.last = c.messages[i].Offset
		limited = limited || ch.rule != engine.Rule{}
		if c.inMemory[i] {
			if ch.ring == nil {
				ch.ring = &ring{}
			}
			ch.ring.push(c.messages[i])
			ch.ring.trim(ch.rule, 0)
		} else {
			ch.stored = ch.last
		}
	}
	if len(e.meter.bounds) > 0 {
		for _, ch := range c.channels {
			e.count(ch)
		}
	}
	e.visible = c.messages[len(c.messages)-1].Offset
	e.mu.Unlock()
	for i, ch := range c.channels {
		if limited && ch.last == c.messages[i].Offset { // once a channel
			e.trim(ch)
		}
	}
	e.tails.deliver(engine.Batch{Epoch: e.epoch, Messages: c.messages, Through: e.visible})
}

// takeBack undoes a commit of which nothing was written.
func (e *Engine) takeBack(c *commit) {
	e.seq.sessions.unride(c)
	if len(c.messages) == 0 {
		return
	}
	e.seq.next = c.from
	e.seq.keys.undo(c.keys)
	for _, ch := range c.channels {
		ch.tip, ch.toDisk = ch.last, ch.before()
	}
}

// hold keeps a failed commit until the log has written it elsewhere.
func (e *Engine) hold(c *commit) {
	if len(c.messages) == 0 { // nothing that was stored is of it
		c.from = e.seq.next
	}
	held := *c
	e.seq.held = &held
	e.seq.sessions.hold(c.saves)
	*c = commit{}
}

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
	batch   seglog.Batch
	ceiling message.Offset
	durable bool // something must be on disk before any of it is shown
	onDisk  bool // a message is among what must be

	messages []message.Message
	channels []*channelState // of messages
	inMemory []bool          // of messages
	answers  []func(err *message.Error)
	then     []func() // run once it is durable, in order
	cursors  []*session

	keys int // the key table's length before, to go back to
	from message.Offset
}

func (c *commit) reset(time int64) {
	c.time, c.ceiling, c.durable, c.onDisk = time, 0, false, false
	c.batch.Reset()
	c.messages = nil // whoever was handed the last ones keeps them
	clear(c.channels)
	clear(c.answers)
	clear(c.then)
	c.channels, c.inMemory, c.answers, c.then, c.cursors = c.channels[:0], c.inMemory[:0], c.answers[:0], c.then[:0], nil
	c.from = 0
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
	for _, f := range c.answers {
		f(err)
	}
}

// stageSubmit gives offsets to the messages of s, all or none.
func (e *Engine) stageSubmit(c *commit, s *submit) {
	refused := e.judge(c, s)
	if refused != nil {
		c.answers = append(c.answers, func(*message.Error) { s.done(nil, refused) })
		return
	}
	receipts := make([]engine.Receipt, len(s.msgs))
	for i := range s.msgs {
		receipts[i] = e.stageMessage(c, s, i)
	}
	settled := e.settled(c, receipts)
	c.answers = append(c.answers, func(err *message.Error) {
		if err != nil && !settled {
			s.done(nil, err)
			return
		}
		s.done(receipts, nil)
	})
}

// judge says why s is refused, nil if it is not. It changes nothing.
func (e *Engine) judge(c *commit, s *submit) *message.Error {
	for i := range s.keys {
		if err := e.judgeKey(c, s, i); err != nil {
			err.Index = i
			return err
		}
	}
	if e.onlyDuplicates(s) {
		return nil
	}
	if err := e.corrupt.Load(); err != nil {
		return err
	}
	if err := e.refusing.Load(); err != nil && (e.seq.held != nil || !e.onlyMemory(s)) {
		return err
	}
	if e.seq.next+message.Offset(len(s.msgs)) > message.MaxOffset {
		return message.Errorf(message.Unavailable, "all offsets are used up")
	}
	return nil
}

func (e *Engine) judgeKey(c *commit, s *submit, i int) *message.Error {
	m, key := &s.msgs[i], &s.keys[i]
	if m.Key != "" {
		k, known := e.seq.keys.get(key.scope)
		if !known {
			k, known = s.earlier(i, key.scope)
		}
		switch {
		case known && e.seq.held != nil && k.offset >= e.seq.held.from:
			return message.Errorf(message.Unknown, "the disk failed while a message with this key was written; retry to settle it")
		case known && k.content != key.content:
			return message.Errorf(message.Conflict, "the key was used before, with another message")
		case known:
			return nil
		case m.First != 0 && m.First < e.seq.keys.horizon(c.time):
			return message.Errorf(message.KeyExpired, "the first attempt was too long ago to know whether it succeeded")
		}
	}
	if m.Predecessor == "" {
		return nil
	}
	if k, known := e.seq.keys.get(key.predecessor); known {
		if e.seq.held != nil && k.offset >= e.seq.held.from {
			return message.Errorf(message.Unavailable, "the disk failed while the message before this one was written")
		}
		return nil
	}
	if _, known := s.earlier(i, key.predecessor); !known {
		return message.Errorf(message.OutOfOrder, "the message before this one is not stored")
	}
	return nil
}

// earlier looks for a key among the messages of s before i.
func (s *submit) earlier(i int, want scope) (keyed, bool) {
	for j := range s.keys[:i] {
		if s.msgs[j].Key != "" && s.keys[j].scope == want {
			return keyed{content: s.keys[j].content}, true
		}
	}
	return keyed{}, false
}

// onlyDuplicates reports whether nothing of s is to be stored.
func (e *Engine) onlyDuplicates(s *submit) bool {
	if s.keys == nil {
		return len(s.msgs) == 0
	}
	for i := range s.msgs {
		if s.msgs[i].Key == "" {
			return false
		}
		if _, known := e.seq.keys.get(s.keys[i].scope); !known {
			return false
		}
	}
	return true
}

// onlyMemory reports whether nothing of s goes to the disk.
func (e *Engine) onlyMemory(s *submit) bool {
	if e.seq.next+message.Offset(len(s.msgs)) > message.Offset(e.seg.Ceiling()) {
		return false
	}
	for i := range s.msgs {
		if !e.ruleOf(e.state(s.msgs[i].Channel)).Memory {
			return false
		}
	}
	return true
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

// state returns a channel's state, for the sequencer.
func (e *Engine) state(name channel.Name) *channelState {
	e.mu.RLock()
	c := e.channels[name]
	e.mu.RUnlock()
	if c != nil {
		return c
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.channel(name)
}

// stageMessage gives message i of s its offset, unless its key has one.
func (e *Engine) stageMessage(c *commit, s *submit, i int) engine.Receipt {
	m := &s.msgs[i]
	if m.Key != "" {
		if k, known := e.seq.keys.get(s.keys[i].scope); known {
			return engine.Receipt{Offset: k.offset, Duplicate: true}
		}
	}
	ch := e.state(m.Channel)
	if len(c.messages) == 0 {
		c.from, c.keys = e.seq.next, e.seq.keys.len()
	}
	c.messages = append(c.messages, *m)
	m = &c.messages[len(c.messages)-1] // s stays as it is: it may be staged again
	m.Channel, m.Offset, m.Previous, m.Time = ch.name, e.seq.next, ch.tip, c.time
	m.First, m.Predecessor = 0, ""
	ch.tip = m.Offset
	e.seq.next++
	memory := e.ruleOf(ch).Memory
	if m.Key != "" {
		e.seq.keys.put(s.keys[i].scope, keyed{s.keys[i].content, m.Offset, c.time, memory})
	}
	if !memory {
		c.durable, c.onDisk = true, true
		c.add(ch, m)
	}
	c.channels = append(c.channels, ch)
	c.inMemory = append(c.inMemory, memory)
	return engine.Receipt{Offset: m.Offset}
}

func (e *Engine) ruleOf(ch *channelState) engine.Rule {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return ch.rule
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
	e.mu.Lock()
	for i, ch := range c.channels {
		ch.last = c.messages[i].Offset
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
	e.visible = c.messages[len(c.messages)-1].Offset
	e.mu.Unlock()
	for i, ch := range c.channels {
		if ch.last == c.messages[i].Offset { // once a channel
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
	held := *c
	e.seq.held = &held
	*c = commit{}
}

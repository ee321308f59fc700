package memory

import (
	"cmp"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A State is what an engine holds, as a value without locks or goroutines: the
// caller serialises. It decides nothing by itself: offsets, times and what is
// trimmed are told to it, so that it can follow another engine as its oracle.
type State struct {
	Keys     Keys
	Sessions Sessions

	runs      []run
	channels  map[channel.Name]*line
	visible   message.Offset
	time      int64
	forgotten message.Offset // greatest last offset of a channel that was forgotten
}

// A run is one life of the engine: its epoch and the offset of the record that
// began it. It ends before the next one's first.
type run struct {
	epoch message.Epoch
	first message.Offset
}

// A line is one channel. Nothing at or below floor can be read any more. Of what
// was at or below unknown the engine cannot tell whether there was anything.
type line struct {
	memory   bool
	messages []message.Message
	last     message.Offset
	floor    message.Offset
	why      engine.Reason
	unknown  message.Offset
}

// NewState returns an empty State, before its first run.
func NewState() *State {
	return &State{
		Keys:     Keys{entries: map[scope]keyed{}},
		Sessions: Sessions{},
		channels: map[channel.Name]*line{},
	}
}

// Start begins a run with a record of the given offset. Memory channels and
// their keys are lost.
func (s *State) Start(epoch message.Epoch, first message.Offset) {
	s.runs = append(s.runs, run{epoch, first})
	s.visible = max(s.visible, first)
	for name, l := range s.channels {
		if l.memory {
			delete(s.channels, name)
			s.Keys.dropChannel(name)
		}
	}
}

// Epoch returns the current run's.
func (s *State) Epoch() message.Epoch { return s.runs[len(s.runs)-1].epoch }

// Visible returns where the engine ends.
func (s *State) Visible() message.Position {
	return message.Position{Epoch: s.Epoch(), Offset: s.visible}
}

// Advance sets the visible offset where records other than messages moved it.
func (s *State) Advance(visible message.Offset) { s.visible = max(s.visible, visible) }

// Time returns the greatest time of a stored message.
func (s *State) Time() int64 { return s.time }

// Known reports whether p is of this engine's history: an epoch that was a run
// of it, and an offset that run reached.
func (s *State) Known(p message.Position) bool {
	end, ok := s.end(p.Epoch)
	return p.Offset == 0 || ok && p.Offset <= end
}

// end returns the last offset of the run that epoch names.
func (s *State) end(epoch message.Epoch) (message.Offset, bool) {
	i := slices.IndexFunc(s.runs, func(r run) bool { return r.epoch == epoch })
	switch {
	case i < 0:
		return 0, false
	case i+1 < len(s.runs):
		return s.runs[i+1].first - 1, true
	}
	return s.visible, true
}

// Place stores messages whose Offset and Time are set, and returns them with
// Previous set as well.
func (s *State) Place(memory bool, msgs ...message.Message) []message.Message {
	placed := make([]message.Message, 0, len(msgs))
	for _, m := range msgs {
		l := s.line(m.Channel, memory)
		m.Previous = l.last
		l.last = m.Offset
		l.messages = append(l.messages, m)
		s.visible = max(s.visible, m.Offset)
		s.time = max(s.time, m.Time)
		s.Keys.Add(m)
		placed = append(placed, m)
	}
	return placed
}

func (s *State) line(name channel.Name, memory bool) *line {
	l := s.channels[name]
	if l == nil {
		l = &line{memory: memory}
		l.unknown, l.why = s.before(memory)
		s.channels[name] = l
	}
	return l
}

// before returns up to where nothing can be told of a channel that is not known.
func (s *State) before(memory bool) (message.Offset, engine.Reason) {
	if memory {
		return s.runs[len(s.runs)-1].first, engine.Lost
	}
	return s.forgotten, engine.Expired
}

// Trim makes everything of a channel at or before to unreadable.
func (s *State) Trim(name channel.Name, to message.Offset) {
	l := s.channels[name]
	if l == nil || to <= l.floor {
		return
	}
	l.floor, l.why = to, engine.Expired
	if l.memory {
		l.why = engine.Lost
	}
	keep := slices.IndexFunc(l.messages, func(m message.Message) bool { return m.Offset > to })
	if keep < 0 {
		keep = len(l.messages)
	}
	l.messages = slices.Clone(l.messages[keep:])
}

// Forget removes all knowledge of a channel.
func (s *State) Forget(name channel.Name) {
	if l := s.channels[name]; l != nil {
		s.forgotten = max(s.forgotten, l.last)
		delete(s.channels, name)
	}
}

// Uncovered returns the offset of the newest message of a channel that rule does
// not cover at now, in Unix milliseconds; 0 if it covers all.
func (s *State) Uncovered(name channel.Name, rule engine.Rule, now int64) message.Offset {
	l := s.channels[name]
	if l == nil {
		return 0
	}
	count, bytes := 0, int64(0)
	for _, m := range slices.Backward(l.messages) {
		count++
		bytes += int64(m.Size())
		tooOld := rule.Age > 0 && m.Time < now-rule.Age.Milliseconds()
		tooMany := rule.Messages > 0 && count > rule.Messages
		if tooOld || tooMany || rule.Bytes > 0 && bytes > rule.Bytes {
			return m.Offset
		}
	}
	return 0
}

// Last returns the offset of a channel's newest message, readable or not.
func (s *State) Last(name channel.Name) message.Offset {
	if l := s.channels[name]; l != nil {
		return l.last
	}
	return 0
}

// Messages returns what can be read of a channel, oldest first.
func (s *State) Messages(name channel.Name) []message.Message {
	if l := s.channels[name]; l != nil {
		return l.messages
	}
	return nil
}

// Read is engine.Engine's. memory says whether a channel is a memory channel.
func (s *State) Read(names []channel.Name, after message.Position, limit engine.Limit, memory func(channel.Name) bool) engine.Batch {
	b := engine.Batch{Epoch: s.Epoch(), Through: s.visible}
	var found []message.Message
	for _, name := range names {
		from := after.Offset
		if gap, ok := s.gap(name, after, memory(name)); ok {
			b.Gaps = append(b.Gaps, gap)
			from = gap.To
		}
		for _, m := range s.Messages(name) {
			if m.Offset > from {
				found = append(found, m)
			}
		}
	}
	slices.SortFunc(b.Gaps, func(x, y engine.Gap) int { return cmp.Compare(x.To, y.To) })
	slices.SortFunc(found, func(x, y message.Message) int { return cmp.Compare(x.Offset, y.Offset) })
	b.Messages = found[:fit(found, limit)]
	if len(b.Messages) < len(found) {
		b.More = true
		b.Through = b.Messages[len(b.Messages)-1].Offset
	}
	return b
}

// gap returns what cannot be read of a channel after a position. There is none
// after zero, which says "from the oldest".
func (s *State) gap(name channel.Name, after message.Position, memory bool) (engine.Gap, bool) {
	if after.Offset == 0 {
		return engine.Gap{}, false
	}
	g := engine.Gap{Channel: name, After: after.Offset}
	g.To, g.Reason = s.before(memory)
	if l := s.channels[name]; l != nil {
		g.To, g.Reason = max(l.unknown, l.floor), l.why
	}
	if s.Known(after) {
		return g, g.To > g.After
	}
	g.Reason = engine.History
	if end, ok := s.end(after.Epoch); ok {
		g.To = max(g.To, end)
	} else {
		g.To = s.start(name)
	}
	return g, true
}

// start returns the position from which all that a channel still has can be
// read, and which is of the current history: never zero.
func (s *State) start(name channel.Name) message.Offset {
	if kept := s.Messages(name); len(kept) > 0 {
		return kept[0].Offset - 1
	}
	return s.visible
}

// History is engine.Engine's.
func (s *State) History(name channel.Name, before message.Offset, limit engine.Limit) engine.Batch {
	found := slices.Clone(s.Messages(name))
	if before > 0 {
		found = slices.DeleteFunc(found, func(m message.Message) bool { return m.Offset >= before })
	}
	slices.Reverse(found)
	taken := found[:fit(found, limit)]
	slices.Reverse(taken)
	return engine.Batch{Epoch: s.Epoch(), Messages: taken, Through: s.visible, More: len(taken) < len(found)}
}

// fit returns how many of msgs, from the first, limit lets through.
func fit(msgs []message.Message, limit engine.Limit) int {
	if limit.Messages <= 0 {
		limit.Messages = engine.DefaultLimit.Messages
	}
	if limit.Bytes <= 0 {
		limit.Bytes = engine.DefaultLimit.Bytes
	}
	bytes := 0
	for i := range msgs {
		bytes += msgs[i].Size()
		if i > 0 && (i == limit.Messages || bytes > limit.Bytes) {
			return i
		}
	}
	return len(msgs)
}

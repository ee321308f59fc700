package enginetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A ledger is the oracle: everything that was accepted, and what the rules made
// of it. Its methods are called by the one goroutine that drives the engine.
type ledger struct {
	options Options
	now     int64 // the clock, Unix milliseconds
	latest  int64 // the greatest time the clock ever showed

	runs    []run
	visible message.Offset // of the newest message
	time    int64          // of the newest message
	lines   map[channel.Name]*line
	keys    map[scope]keyed
	keyed   int   // how many messages with a key were stored
	dropped int64 // greatest time of a key that is in keys no more

	// forgettable is the greatest last offset of a channel that at some instant
	// had nothing left: an engine may have forgotten up to there.
	forgettable message.Offset

	sessions map[engine.SessionKey]*stored
	// unsaved is what saves and drops would have made of sessions whose answer was
	// Unknown.
	unsaved map[engine.SessionKey][]*stored
}

// A run is one life of the engine. It began at first and, when it is over, last
// is what was visible of it.
type run struct {
	epoch       message.Epoch
	first, last message.Offset
}

// A line is one channel.
type line struct {
	all  []message.Message // ever stored; of a memory channel, in this run
	last message.Offset
	// floor is up to where the engine said, in this run, that all is gone;
	// gone up to where it was free to say so, at some instant.
	floor, gone message.Offset
	// forgettable is what ledger.forgettable is, for this channel.
	forgettable message.Offset
	// lost is the last offset that the channel had in an earlier run, if it is a
	// memory channel.
	lost message.Offset
}

type scope struct {
	channel        channel.Name
	publisher, key string
}

// A keyed message is the nth with a key.
type keyed struct {
	message message.Message
	nth     int
}

func newLedger(options Options) *ledger {
	return &ledger{
		options:  options,
		lines:    map[channel.Name]*line{},
		keys:     map[scope]keyed{},
		sessions: map[engine.SessionKey]*stored{},
		unsaved:  map[engine.SessionKey][]*stored{},
	}
}

func (l *ledger) tick(d time.Duration) {
	l.now += d.Milliseconds()
	l.latest = max(l.latest, l.now)
	l.expire()
}

func (l *ledger) epoch() message.Epoch { return l.runs[len(l.runs)-1].epoch }
func (l *ledger) first() message.Offset {
	return l.runs[len(l.runs)-1].first
}

// start begins a run whose own record has the offset first.
func (l *ledger) start(epoch message.Epoch, first message.Offset) error {
	if epoch == 0 || slices.ContainsFunc(l.runs, func(r run) bool { return r.epoch == epoch }) {
		return fmt.Errorf("the run's epoch %v was used before", epoch)
	}
	if n := len(l.runs); n > 0 {
		if first <= l.runs[n-1].last {
			return fmt.Errorf("a run begins at %d, where the one before had come to %d", first, l.runs[n-1].last)
		}
	}
	if first == 0 {
		return fmt.Errorf("visible offset of a fresh run is 0")
	}
	l.runs = append(l.runs, run{epoch: epoch, first: first})
	return nil
}

// end ends a run in which everything up to last was visible.
func (l *ledger) end(last message.Offset) {
	l.runs[len(l.runs)-1].last = max(last, l.visible)
	for name, n := range l.lines {
		n.floor = 0
		if l.options.Rules(name).Memory {
			l.lines[name] = &line{lost: max(n.lost, n.last)}
		}
	}
	for s, k := range l.keys {
		if l.options.Rules(s.channel).Memory {
			l.dropped = max(l.dropped, k.message.Time)
			delete(l.keys, s)
		}
	}
}

// reach returns up to which offset positions of an epoch are good. For the
// current run that is what is visible.
func (l *ledger) reach(epoch message.Epoch, visible message.Offset) (message.Offset, bool) {
	i := slices.IndexFunc(l.runs, func(r run) bool { return r.epoch == epoch })
	switch {
	case i < 0:
		return 0, false
	case i+1 < len(l.runs):
		return l.runs[i].last, true
	}
	return visible, true
}

// place enters a message that the engine stored; sent is what it was asked to
// store.
func (l *ledger) place(sent, got message.Message, clock int64) error {
	if got.Offset <= l.visible || got.Offset <= l.first() || got.Offset > message.MaxOffset {
		return fmt.Errorf("%s got the offset %d after %d was given", describe(sent), got.Offset, max(l.visible, l.first()))
	}
	if got.Time < clock || got.Time > l.latest || got.Time < l.time {
		return fmt.Errorf("offset %d has the time %d; the clock shows %d, the message before has %d", got.Offset, got.Time, clock, l.time)
	}
	n := l.line(got.Channel)
	if err := same(sent, got); err != nil {
		return fmt.Errorf("offset %d: %w", got.Offset, err)
	}
	if got.Previous != n.last && (got.Previous != 0 || n.last > n.forgettable) {
		return fmt.Errorf("offset %d has the previous offset %d; want %d", got.Offset, got.Previous, n.last)
	}
	got.Key, got.First, got.Predecessor = sent.Key, sent.First, sent.Predecessor
	n.all = append(n.all, got)
	n.last, l.visible, l.time = got.Offset, got.Offset, got.Time
	if got.Key != "" {
		l.keyed++
		s := scopeOf(&got, got.Key)
		l.dropped = max(l.dropped, l.keys[s].message.Time)
		l.keys[s] = keyed{got, l.keyed}
	}
	l.uncover(got.Channel)
	return nil
}

// crashed takes the newest message that is left as the last that had a time:
// those of memory channels leave no trace on a disk.
func (l *ledger) crashed() {
	l.time = 0
	for _, n := range l.lines {
		if len(n.all) > 0 {
			l.time = max(l.time, n.all[len(n.all)-1].Time)
		}
	}
}

func scopeOf(m *message.Message, key string) scope { return scope{m.Channel, m.Publisher, key} }

func (l *ledger) line(name channel.Name) *line {
	n := l.lines[name]
	if n == nil {
		n = &line{}
		l.lines[name] = n
	}
	return n
}

// expire notes what the rules do not cover now.
func (l *ledger) expire() {
	for name := range l.lines {
		l.uncover(name)
	}
}

func (l *ledger) uncover(name channel.Name) {
	n := l.lines[name]
	n.gone = max(n.gone, uncovered(n.all, l.options.Rules(name), l.latest))
	if len(n.all) > 0 && n.gone >= n.last {
		n.forgettable = n.last
		l.forgettable = max(l.forgettable, n.last)
	}
}

// hidden returns up to where nothing of a channel may be returned now.
func (l *ledger) hidden(name channel.Name) message.Offset {
	n := l.line(name)
	return max(n.floor, uncovered(n.all, l.options.Rules(name), l.now))
}

// uncovered returns the offset of the newest of msgs that rule does not cover at
// now; 0 if it covers all.
func uncovered(msgs []message.Message, rule engine.Rule, now int64) message.Offset {
	count, bytes := 0, int64(0)
	for i := len(msgs) - 1; i >= 0; i-- {
		m := &msgs[i]
		count++
		bytes += int64(m.Size())
		switch {
		case rule.Age > 0 && now-m.Time > rule.Age.Milliseconds(),
			rule.Messages > 0 && count > rule.Messages,
			rule.Bytes > 0 && bytes > rule.Bytes:
			return m.Offset
		}
	}
	return 0
}

// same returns how what was read differs from what was sent.
func same(sent, got message.Message) error {
	switch {
	case sent.Channel != got.Channel:
		return fmt.Errorf("is on %s, was sent to %s", got.Channel, sent.Channel)
	case sent.Publisher != got.Publisher:
		return fmt.Errorf("is by %q, was sent by %q", got.Publisher, sent.Publisher)
	case !sameContent(&sent, &got):
		return fmt.Errorf("has other content than was sent: %q %q, sent %q %q", got.Headers, got.Data, sent.Headers, sent.Data)
	}
	return nil
}

func sameContent(a, b *message.Message) bool {
	return a.ContentType == b.ContentType && slices.Equal(a.Headers, b.Headers) && slices.Equal(a.Data, b.Data)
}

func describe(m message.Message) string {
	s := fmt.Sprintf("%s by %q %q", m.Channel, m.Publisher, m.Data)
	if m.Key != "" {
		s += fmt.Sprintf(" key=%s first=%d", m.Key, m.First)
	}
	if m.Predecessor != "" {
		s += " predecessor=" + m.Predecessor
	}
	return s
}

package local

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
)

// An item is one message that a read found: on disk, or in memory.
type item struct {
	offset message.Offset
	size   int
	entry  seglog.Entry
	memory *message.Message
	name   channel.Name
}

// A view is one channel as it was when the read began.
type view struct {
	name    channel.Name
	stream  *seglog.Stream
	after   message.Offset
	foreign bool       // the position is of another history
	oldest  bool       // it reads from the oldest: nothing before can be missing
	gap     engine.Gap // what is missing from the position on, if it has a reason
	ring    []message.Message
}

// A reading is one Read.
type reading struct {
	e       *Engine
	limit   engine.Limit
	visible message.Offset
	views   []view
	after   message.Position
	items   []item
	pin     seglog.Pin
}

// Read implements engine.Engine.
func (e *Engine) Read(ctx context.Context, channels []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
	if err := ctx.Err(); err != nil {
		return engine.Batch{}, message.Errorf(message.Unavailable, "the read was given up").Because(err)
	}
	if err := e.corrupt.Load(); err != nil {
		return engine.Batch{}, err
	}
	r := &reading{e: e, limit: orDefault(limit), after: after}
	defer r.pin.Release()
	e.expireNow(channels)
	r.look(channels)
	if err := r.find(); err != nil {
		return engine.Batch{}, e.readError(err)
	}
	b, err := r.batch()
	if err != nil {
		return engine.Batch{}, e.readError(err)
	}
	return b, nil
}

func orDefault(l engine.Limit) engine.Limit {
	if l.Messages <= 0 {
		l.Messages = engine.DefaultLimit.Messages
	}
	if l.Bytes <= 0 {
		l.Bytes = engine.DefaultLimit.Bytes
	}
	return l
}

// readError returns what a reader is told. Damage ends the serving of all.
func (e *Engine) readError(err error) error {
	if damage, ok := errors.AsType[*seglog.CorruptError](err); ok {
		told := message.Errorf(message.Unavailable, "stored data is damaged; the server's log has the file").Because(damage)
		if e.corrupt.CompareAndSwap(nil, told) {
			e.log.WithError(damage).WithField("file", damage.File).Error("stored data is damaged: nothing is served any more")
		}
		return told
	}
	return message.Errorf(message.Unavailable, "the disk could not be read").Because(err)
}

// look takes down where the channels stand, all at one moment.
func (r *reading) look(channels []channel.Name) {
	r.e.mu.RLock()
	defer r.e.mu.RUnlock()
	r.visible = r.e.visible
	start, foreign := r.e.resolve(r.after)
	r.views = make([]view, 0, len(channels))
	for _, name := range channels {
		if slices.ContainsFunc(r.views, func(v view) bool { return v.name == name }) {
			continue
		}
		r.views = append(r.views, r.e.view(name, r.after, start, foreign))
	}
}

// resolve returns from where to read on for a position: where it is, or, if it
// lies beyond its run's end, that end. foreign says that its run is not known.
func (e *Engine) resolve(p message.Position) (start message.Offset, foreign bool) {
	if p.Offset == 0 {
		return 0, false
	}
	run, ok := e.runs[p.Epoch]
	if !ok {
		return 0, true
	}
	end := message.Offset(run.Last)
	if run.Last == 0 {
		end = e.visible
	}
	return min(p.Offset, end), false
}

// view looks at one channel. Engine.mu is held.
func (e *Engine) view(name channel.Name, after message.Position, start message.Offset, foreign bool) view {
	v := view{name: name, after: start, foreign: foreign, oldest: start == 0}
	if !foreign && start != after.Offset {
		v.gap = engine.Gap{Channel: name, After: after.Offset, To: start, Reason: engine.History}
	}
	c := e.channels[name]
	if c == nil {
		if e.rules(name).Memory && start < e.first {
			v.missing(e.first, engine.Lost)
		}
		v.missing(e.forgotten, engine.Expired)
		return v
	}
	v.stream = c.stream
	if c.rule.Memory && start < e.first {
		v.missing(e.first, engine.Lost)
	}
	v.missing(c.gone, engine.Expired)
	if c.ring != nil {
		v.missing(c.ring.floor, c.ring.reason)
		v.ring = slices.Clone(c.ring.after(v.after, e.visible))
	}
	return v
}

// missing notes that everything up to an offset is gone. A reader from the oldest
// misses nothing. Where there are several reasons, expiry is the weakest.
func (v *view) missing(to message.Offset, reason engine.Reason) {
	if to <= v.after {
		return
	}
	switch {
	case v.oldest:
	case v.gap.Reason == "":
		v.gap = engine.Gap{Channel: v.name, After: v.after, To: to, Reason: reason}
	default:
		v.gap.To = to
		if v.gap.Reason == engine.Expired {
			v.gap.Reason = reason
		}
	}
	v.after = to
}

// find collects what follows each view, in the order of offsets.
func (r *reading) find() error {
	for i := range r.views {
		v := &r.views[i]
		first := len(r.items)
		if err := r.findOne(v); err != nil {
			return err
		}
		if v.foreign {
			to := r.visible
			if len(r.items) > first {
				to = r.items[first].offset - 1
			}
			v.gap = engine.Gap{Channel: v.name, After: r.after.Offset, To: to, Reason: engine.History}
		}
	}
	if len(r.views) > 1 {
		slices.SortFunc(r.items, byOffset)
	}
	return nil
}

func byOffset(a, b item) int { return cmp.Compare(a.offset, b.offset) }

func (r *reading) findOne(v *view) error {
	first := len(r.items)
	if v.stream != nil {
		entries, floor, err := v.stream.After(uint64(v.after), uint64(r.visible), r.limit.Messages+1, &r.pin)
		if err != nil {
			return err
		}
		v.missing(min(message.Offset(floor), r.visible), engine.Expired)
		for _, entry := range entries {
			if o := message.Offset(entry.Offset); o > v.after {
				r.items = append(r.items, item{offset: o, size: int(entry.Size), entry: entry, name: v.name})
			}
		}
	}
	if len(v.ring) == 0 {
		return nil
	}
	for i := range v.ring {
		if m := &v.ring[i]; m.Offset > v.after {
			r.items = append(r.items, item{offset: m.Offset, size: m.Size(), memory: m, name: v.name})
		}
	}
	slices.SortFunc(r.items[first:], byOffset)
	return nil
}

// batch cuts the items at the limit and reads them.
func (r *reading) batch() (engine.Batch, error) {
	n := r.cut()
	b := engine.Batch{Epoch: r.e.epoch, Through: r.visible, More: n < len(r.items)}
	if b.More {
		b.Through = r.items[n-1].offset
	}
	for i := range r.views {
		if g := r.views[i].gap; g.Reason != "" {
			g.To = min(g.To, r.visible)
			b.Gaps = append(b.Gaps, g)
		}
	}
	slices.SortStableFunc(b.Gaps, func(x, y engine.Gap) int { return cmp.Compare(x.To, y.To) })
	var err error
	b.Messages, err = r.e.load(r.items[:n])
	return b, err
}

// cut returns how many items the limit allows.
func (r *reading) cut() int {
	bytes := 0
	for i := range r.items {
		bytes += r.items[i].size
		if i == r.limit.Messages || i > 0 && bytes > r.limit.Bytes {
			return i
		}
	}
	return len(r.items)
}

// load reads the messages of items.
func (e *Engine) load(items []item) ([]message.Message, error) {
	if len(items) == 0 {
		return nil, nil
	}
	messages := make([]message.Message, len(items))
	entries := make([]seglog.Entry, 0, len(items))
	where := make([]int, 0, len(items))
	for i := range items {
		if m := items[i].memory; m != nil {
			messages[i] = *m
			continue
		}
		entries = append(entries, items[i].entry)
		where = append(where, i)
	}
	var bad error
	err := e.seg.Records(entries, func(i int) string { return string(items[where[i]].name) }, func(i int, rec *seglog.Record) bool {
		m := &messages[where[i]]
		m.Channel = items[where[i]].name
		bad = decodeMessage(rec, m)
		return bad == nil
	})
	return messages, errors.Join(err, bad)
}

package local

import (
	"context"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// History implements engine.Engine.
func (e *Engine) History(ctx context.Context, ch channel.Name, before message.Offset, limit engine.Limit) (engine.Batch, error) {
	if err := ctx.Err(); err != nil {
		return engine.Batch{}, message.Errorf(message.Unavailable, "the read was given up").Because(err)
	}
	if err := e.corrupt.Load(); err != nil {
		return engine.Batch{}, err
	}
	r := &reading{e: e, limit: orDefault(limit)}
	defer r.pin.Release()
	e.expireNow([]channel.Name{ch})
	r.look([]channel.Name{ch})
	if before == 0 || before > r.visible {
		before = r.visible + 1
	}
	if err := r.findBefore(&r.views[0], before); err != nil {
		return engine.Batch{}, e.readError(err)
	}
	slices.SortFunc(r.items, byOffset)
	n := len(r.items) - r.cutBack()
	b := engine.Batch{Epoch: e.epoch, Through: before - 1, More: n > 0}
	var err error
	if b.Messages, err = e.load(r.items[n:]); err != nil {
		return engine.Batch{}, e.readError(err)
	}
	return b, nil
}

// findBefore collects what the channel has below before.
func (r *reading) findBefore(v *view, before message.Offset) error {
	if v.stream != nil {
		entries, err := v.stream.Before(uint64(before), r.limit.Messages+1, &r.pin)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if o := message.Offset(entry.Offset); o > v.after { // else it is gone, though it was not removed from the disk
				r.items = append(r.items, item{offset: o, size: int(entry.Size), entry: entry, name: v.name})
			}
		}
	}
	for i := range v.ring {
		if m := &v.ring[i]; m.Offset < before {
			r.items = append(r.items, item{offset: m.Offset, size: m.Size(), memory: m, name: v.name})
		}
	}
	return nil
}

// cutBack returns how many of the newest items the limit allows.
func (r *reading) cutBack() int {
	bytes := 0
	for i := range r.items {
		bytes += r.items[len(r.items)-1-i].size
		if i == r.limit.Messages || i > 0 && bytes > r.limit.Bytes {
			return i
		}
	}
	return len(r.items)
}

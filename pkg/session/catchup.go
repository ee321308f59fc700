package session

import (
	"context"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// fallBehind stops all lanes where the feed stands. What some were handed in this
// turn is read again: without what the others lack it is not in order.
func (f *feed) fallBehind() {
	f.live, f.turn = false, nil
	for _, l := range f.lanes {
		f.session.part.shard.Pause(&l.Subscription)
	}
}

// pump sends what the feed lacks for as long as its connection takes it, and
// makes it live when it has caught up. It may be called at any time.
func (f *feed) pump() {
	for f.started && len(f.lanes) > 0 && !f.live && !f.reading && !f.session.conn.Blocked() {
		runs, until, ok := f.backlog()
		switch {
		case !ok:
			f.read()
		case len(runs) == 0:
			f.caughtUp()
		default:
			f.send(runs, until)
		}
	}
}

// backlog returns what follows on all lanes, if the shard has it in memory.
// Together it is complete up to until.
func (f *feed) backlog() (runs []hub.Run, until message.Offset, ok bool) {
	if !f.trusted {
		return nil, 0, false
	}
	until = message.MaxOffset
	for _, l := range f.lanes {
		l.Sent = f.at.Offset
		run, ok := f.session.part.shard.Backlog(&l.Subscription, feedMessages, readBytes/len(f.lanes))
		if !ok {
			return nil, 0, false
		}
		if len(run.Ends) == 0 {
			continue
		}
		if run.Last() < l.Newest() {
			until = min(until, run.Last())
		}
		runs = append(runs, run)
	}
	return runs, until, true
}

// caughtUp makes the feed live. Its position is as far as all lanes are known to
// lack nothing.
func (f *feed) caughtUp() {
	through := message.MaxOffset
	for _, l := range f.lanes {
		through = min(through, l.Through())
		f.session.part.shard.Resume(&l.Subscription)
	}
	f.live = true
	f.mark(max(f.at.Offset, through))
}

// read asks a worker for the next messages in the log, of all lanes in one order.
func (f *feed) read() {
	f.reading = true
	s, life, after, format := f.session, f.life, f.at, f.marker.Format()
	names := make([]channel.Name, len(f.lanes))
	for i, l := range f.lanes {
		names[i] = l.name
	}
	b := s.part.manager.broker
	b.Go(func() {
		batch, err := b.Merge(context.Background(), names, after, engine.Limit{Messages: feedMessages, Bytes: readBytes})
		page := frame(format, batch, 0)
		s.part.loop.Post(func() {
			if f.life == life {
				f.arrived(page, err)
			}
		})
	})
}

// arrived takes a page of the log. A gap is told when all messages up to its end
// have been sent; one whose end is beyond the page, at its end: so that the
// position behind a gap is one on the other lanes as well.
func (f *feed) arrived(p page, err error) {
	f.reading = false
	if err != nil {
		s := f.session
		s.part.manager.log.WithError(err).Error("cannot read the log for a subscriber")
		s.dismiss(string(message.Unavailable), failRetry)
		return
	}
	f.at.Epoch, f.trusted = p.Epoch, true
	for _, gap := range p.Gaps {
		end := min(gap.To, p.Through)
		p.run = f.sendTo(p.run, end)
		f.session.conn.Gap(gap)
		f.mark(end)
	}
	f.sendTo(p.run, message.MaxOffset)
	f.at.Offset = p.Through
	f.pump()
}

// sendTo sends the messages of a run up to an offset, and returns the others.
func (f *feed) sendTo(run hub.Run, offset message.Offset) (rest hub.Run) {
	head, rest := run.Cut(offset)
	if len(head.Ends) > 0 {
		f.session.conn.Frames(head.Frames)
		f.session.part.count.add(head)
		f.at.Offset = head.Last()
		f.told = f.at
	}
	return rest
}

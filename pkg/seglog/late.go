package seglog

// A beginning is the first segment of a run, for which there is no room yet.
type beginning struct {
	header header
	tail   *tail
	// stand stands in for the segment in the index: the tail, where recovery
	// found it.
	stand *segment
}

// wait puts off the beginning of the run until Repair finds room for it. The
// tail is read where it is until then. Nothing was written: a start after this one
// finds what this one found.
func (l *Log) wait(h *header, t *tail, full error) error {
	last := l.segs[len(l.segs)-1]
	file, err := l.fs.Open(last.name, false)
	if err != nil {
		return err
	}
	last.broken = true // it must not be cut behind its end, where the tail is
	s := &segment{header: last.header, name: last.name, file: file, headerCRC: last.headerCRC, broken: true, first: h.prevEnd, end: h.prevEnd}
	s.refs.Store(1)
	l.segs = append(l.segs, s)
	l.active, l.synced = s, s.end
	if err := l.indexTail(s, s.end, t); err != nil {
		return err
	}
	for i := range t.batches {
		s.end += uint32(t.batches[i].frame.headerAndParts)
	}
	l.waiting, l.failed = &beginning{*h, t, s}, full
	return nil
}

// beginLate begins the run.
func (l *Log) beginLate() error {
	w := l.waiting
	seg, err := l.createWith(&w.header, w.tail)
	if err != nil {
		return err
	}
	if err := l.replace([]*segment{w.stand}, seg); err != nil {
		seg.release()
		return err
	}
	w.stand.release()
	l.mu.Lock()
	l.active = seg
	before := l.segs[len(l.segs)-2]
	l.mu.Unlock()
	l.synced = seg.end
	l.failed, l.waiting = nil, nil
	l.worker.seal(before)
	return nil
}

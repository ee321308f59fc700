package seglog

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// rewrite replaces the run by one segment with what is wanted of it. Where it fails
// behind the new file's name, the folder may have what memory does not know of. Both hold
// all that is wanted, but a later one that begins elsewhere would not fit to that, and a sync that
// failed is not tried again: so this log rewrites no more.
func (l *Log) rewrite(run []*segment) error {
	first := run[0]
	h := header{seq: first.seq, prevEnd: first.prevEnd, next: first.next, oldest: first.oldest, salt: newSalt()}
	content, n, err := l.wanted(run, &h)
	if err != nil {
		return err
	}
	run = run[:n]
	h.through = run[n-1].through
	h.end = uint32(h.size() + len(content))
	h.capacity = h.end
	head := h.encode()
	file, err := l.writeFile(first.name, append(head, content...))
	if err != nil {
		l.astray.Store(errors.Is(err, errNamed))
		return err
	}
	s := &segment{header: h, name: first.name, file: file, headerCRC: le.Uint32(head[8:]), end: h.end}
	s.refs.Store(1)
	if err := l.replace(run, s); err != nil {
		l.astray.Store(true)
		s.release()
		return err
	}
	for _, old := range run[1:] {
		l.unlink([]*segment{old})
	}
	first.release()
	l.worker.seal(s)
	return nil
}

// wanted returns the batches of the first n segments of a run, with what is wanted
// of their records, as they stand in the segment that h begins. n is what fits into
// one segment; how much is wanted was only estimated.
func (l *Log) wanted(run []*segment, h *header) (content []byte, n int, err error) {
	floors := map[string]uint64{}
	for i, s := range run {
		before := len(content)
		at, err := scan(s, s.end, func(f *frame, payload []byte) error {
			batch, count, err := l.filter(payload, floors)
			if err != nil || count == 0 {
				return err
			}
			f.seq, f.salt = h.seq, h.salt
			f.pos = uint32(h.size() + len(content))
			f.synced = f.pos
			content = append(content, sealFrame(batch, f, count)...)
			return nil
		})
		if err != nil {
			return nil, 0, corrupt(l.fs, s, at, err)
		}
		if i > 0 && len(content) > int(l.opts.SegmentSize) {
			return content[:before], i, nil
		}
	}
	return content, len(run), nil
}

// filter returns a batch, its header still empty, of the records in a payload
// that are in a stream and above its floor. A floor is looked up once: if it rose
// on the way the stream would have a hole.
func (l *Log) filter(payload []byte, floors map[string]uint64) (batch []byte, count int, err error) {
	batch = make([]byte, batchHeader)
	at := 0
	err = eachRecord(payload, func(r Record, n int) error {
		floor, known := floors[r.Key]
		if !known {
			floor = l.floor(r.Key)
			floors[r.Key] = floor
		}
		if r.Offset > floor {
			batch = append(batch, payload[at:at+n]...)
			count++
		}
		at += n
		return nil
	})
	return batch, count, err
}

// floor returns the offset of the newest record of a stream that is gone; without
// such a stream all are.
func (l *Log) floor(key string) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if s := l.streams[key]; key != "" && s != nil {
		return s.floor
	}
	return math.MaxUint64
}

// replace puts s in the place of run, in the list and in all streams.
func (l *Log) replace(run []*segment, s *segment) error {
	built, err := l.build(s)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	touched := map[*Stream]bool{}
	for _, old := range run {
		for _, p := range old.parts {
			if l.streams[p.stream.key] == p.stream { // else it was forgotten
				touched[p.stream] = true
			}
		}
	}
	for st := range touched {
		st.exchange(run, built[st.key])
	}
	i := slices.Index(l.segs, run[0])
	l.segs = slices.Replace(slices.Clone(l.segs), i, i+len(run), s)
	return nil
}

// build indexes s, which nobody else knows yet, in streams of its own.
func (l *Log) build(s *segment) (map[string]*Stream, error) {
	built := map[string]*Stream{}
	_, err := scan(s, s.end, func(f *frame, payload []byte) error {
		at := f.pos + batchHeader
		return eachRecord(payload, func(r Record, n int) error {
			if r.Key != "" {
				b := built[r.Key]
				if b == nil {
					b = &Stream{log: l, key: r.Key}
					built[r.Key] = b
				}
				s.index(b, &r, at)
			}
			at += uint32(n)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read back %s: %w", s.name, err)
	}
	return built, nil
}

// exchange puts what was built in the place of the parts of run. Log.mu is held.
func (st *Stream) exchange(run []*segment, built *Stream) {
	of := func(p *part) bool { return slices.Contains(run, p.seg) }
	at := slices.IndexFunc(st.parts, of)
	parts := slices.DeleteFunc(slices.Clone(st.parts), of)
	if built != nil {
		p := built.parts[0]
		p.stream = st
		if at < 0 { // all of it was trimmed meanwhile
			p.seg.live -= int(p.count)
		} else {
			parts = slices.Insert(parts, at, p)
		}
	}
	st.parts = parts
	if at != 0 {
		return
	}
	st.head, st.skip = nil, 0
	if built != nil { // what was trimmed meanwhile is in it
		p := parts[0]
		for st.skip < p.count && p.seg.base+uint64(p.entries[st.skip].offset) <= st.floor {
			st.skip++
			p.seg.live--
		}
	}
}

package seglog

import ()

// An entry is where one record of a stream stands. Offset and time are relative
// to their segment's bases, so that it has 16 bytes and no pointers.
type entry struct {
	offset, pos, size, time uint32
}

// A part is what one segment holds of one stream. Log.mu guards it.
type part struct {
	seg      *segment
	stream   *Stream
	prev     uint64 // offset of the stream's record before the first
	last     uint64
	count    uint32
	bytes    int64
	lastTime int64
	// entries is nil when they are to be read from the segment's index, where
	// they begin at at.
	entries []entry
	at      int64
}

// A Stream is the records of one key, in the order of their offsets. Log.mu
// guards it.
type Stream struct {
	log   *Log
	key   string
	last  uint64
	floor uint64
	parts []*part
	skip  uint32 // records of parts[0] that were trimmed
	head  []entry
	count int
	bytes int64
}

// Key returns the stream's name.
func (s *Stream) Key() string { return s.key }

// Last returns the offset of the newest record, also when it was trimmed, as far
// as the log knows: an older one than its oldest segment is not known to it.
func (s *Stream) Last() uint64 {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	return s.last
}

// Extent returns the offset of the newest record that was removed or trimmed,
// and how many are left.
func (s *Stream) Extent() (floor uint64, count int) {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	return s.floor, s.count
}

// Bytes returns the sum of Size of the records that are left.
func (s *Stream) Bytes() int64 {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	return s.bytes
}

// Limits say what Trim leaves. Zero is no limit.
type Limits struct {
	Count  int
	Bytes  int64 // sum of Size
	Before int64 // records with an earlier time go
}

// Trim removes the oldest records until the limits hold: they are not returned
// any more, and their segments may go.
func (s *Stream) Trim(lim Limits) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for len(s.parts) > 0 {
		p := s.parts[0]
		if s.wholePartGoes(p, lim) {
			if err := s.dropPart(); err != nil {
				return err
			}
			continue
		}
		done, err := s.trimPart(p, lim)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// wholePartGoes reports whether the limits hold only without all of p, which it
// can tell without looking at the entries.
func (s *Stream) wholePartGoes(p *part, lim Limits) bool {
	if p.lastTime < lim.Before {
		return true
	}
	if lim.Count > 0 && s.count-int(p.count-s.skip) >= lim.Count {
		return true
	}
	return lim.Bytes > 0 && len(s.parts) > 1 && s.skip == 0 && s.bytes-p.bytes >= lim.Bytes
}

func (s *Stream) dropPart() error {
	p := s.parts[0]
	gone := p.bytes
	if s.skip > 0 {
		if err := s.loadHead(); err != nil {
			return err
		}
		for _, e := range s.head[:s.skip] {
			gone -= int64(e.size)
		}
	}
	s.removed(p, int(p.count-s.skip), gone)
	s.floor = max(s.floor, p.last)
	s.parts = s.parts[1:]
	s.head, s.skip = nil, 0
	return nil
}

// trimPart removes from the first part, record by record. done says that the
// limits hold.
func (s *Stream) trimPart(p *part, lim Limits) (done bool, err error) {
	if !s.over(lim) && lim.Before == 0 {
		return true, nil
	}
	if err := s.loadHead(); err != nil {
		return false, err
	}
	for s.skip < p.count {
		e := s.head[s.skip]
		if !s.over(lim) && p.seg.baseTime+int64(e.time) >= lim.Before {
			return true, nil
		}
		s.removed(p, 1, int64(e.size))
		s.skip++
		s.floor = max(s.floor, p.seg.base+uint64(e.offset))
	}
	s.parts = s.parts[1:]
	s.head, s.skip = nil, 0
	return false, nil
}

func (s *Stream) over(lim Limits) bool {
	return lim.Count > 0 && s.count > lim.Count || lim.Bytes > 0 && s.bytes > lim.Bytes
}

func (s *Stream) removed(p *part, n int, bytes int64) {
	s.count -= n
	s.bytes -= bytes
	p.seg.live -= n
}

// loadHead makes the first part's entries available in head. The newest
// segment's grow, so they are taken anew each time.
func (s *Stream) loadHead() (err error) {
	p := s.parts[0]
	if p.entries != nil {
		s.head = p.entries
		return nil
	}
	if len(s.head) != int(p.count) {
		s.head, err = p.load(0, int(p.count))
	}
	return err
}

package seglog

import (
	"slices"
	"sort"
)

// An Entry is one record that a stream has, as [Log.Records] reads it.
type Entry struct {
	Offset uint64
	Size   uint32
	pos    uint32
	seg    *segment
}

// A Pin keeps the segments of entries from being closed, though they may be
// removed meanwhile.
type Pin struct{ segs []*segment }

// Release gives the segments back.
func (p *Pin) Release() {
	for _, s := range p.segs {
		s.release()
	}
	p.segs = nil
}

func (p *Pin) add(s *segment) {
	if slices.Contains(p.segs, s) {
		return
	}
	s.refs.Add(1)
	p.segs = append(p.segs, s)
}

// A piece is a part as it was at one moment.
type piece struct {
	part
}

// After returns up to limit entries with after < offset <= through, oldest
// first, and the offset of the newest record that is gone. The pin holds their
// segments.
func (s *Stream) After(after, through uint64, limit int, pin *Pin) (entries []Entry, floor uint64, err error) {
	pieces, floor := s.piecesAfter(after, limit, pin)
	for i := range pieces {
		entries, err = pieces[i].after(max(after, floor), through, limit, entries)
		if err != nil || len(entries) == limit {
			break
		}
	}
	return entries, floor, err
}

func (s *Stream) piecesAfter(after uint64, limit int, pin *Pin) ([]piece, uint64) {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	if s.last <= after {
		return nil, s.floor
	}
	var pieces []piece
	i := sort.Search(len(s.parts), func(i int) bool { return s.parts[i].last > after })
	for have := 0; i < len(s.parts) && have < limit; i++ {
		pieces = append(pieces, piece{part: *s.parts[i]})
		pin.add(s.parts[i].seg)
		if len(pieces) > 1 { // of the first one only a few may be wanted
			have += int(s.parts[i].count)
		}
	}
	return pieces, s.floor
}

// Before returns up to limit entries with an offset below before, which are the
// newest such, oldest first.
func (s *Stream) Before(before uint64, limit int, pin *Pin) ([]Entry, error) {
	pieces, floor := s.piecesBefore(before, limit, pin)
	var all []Entry
	for i := range pieces {
		p := &pieces[i]
		to, err := p.search(before - 1)
		if err != nil {
			return nil, err
		}
		got, err := p.slice(max(0, to-limit), to, nil)
		if err != nil {
			return nil, err
		}
		all = append(got, all...)
		if len(all) >= limit {
			break
		}
	}
	all = all[max(0, len(all)-limit):]
	first := sort.Search(len(all), func(i int) bool { return all[i].Offset > floor })
	return all[first:], nil
}

func (s *Stream) piecesBefore(before uint64, limit int, pin *Pin) ([]piece, uint64) {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	var pieces []piece
	i := sort.Search(len(s.parts), func(i int) bool { return s.parts[i].last >= before })
	for have := 0; i >= 0 && have < limit; i-- {
		if i == len(s.parts) {
			continue
		}
		pieces = append(pieces, piece{part: *s.parts[i]})
		pin.add(s.parts[i].seg)
		if len(pieces) > 1 || s.parts[i].last < before {
			have += int(s.parts[i].count)
		}
	}
	return pieces, s.floor
}

// after appends p's entries with after < offset <= through until there are limit.
func (p *piece) after(after, through uint64, limit int, to []Entry) ([]Entry, error) {
	from, err := p.search(after)
	if err != nil {
		return nil, err
	}
	end := min(int(p.count), from+limit-len(to))
	n := len(to)
	to, err = p.slice(from, end, to)
	for len(to) > n && to[len(to)-1].Offset > through {
		to = to[:len(to)-1]
	}
	return to, err
}

// search returns the index of the first entry whose offset is above after.
func (p *piece) search(after uint64) (int, error) {
	if after >= p.last {
		return int(p.count), nil
	}
	if after < p.seg.base {
		return 0, nil
	}
	var failed error
	i := sort.Search(int(p.count), func(i int) bool {
		one, err := p.load(i, i+1)
		if err != nil {
			failed = err
			return true
		}
		return p.seg.base+uint64(one[0].offset) > after
	})
	return i, failed
}

func (p *piece) slice(from, to int, entries []Entry) ([]Entry, error) {
	if from >= to {
		return entries, nil
	}
	loaded, err := p.load(from, to)
	if err != nil {
		return nil, err
	}
	for _, e := range loaded {
		entries = append(entries, Entry{Offset: p.seg.base + uint64(e.offset), Size: e.size, pos: e.pos, seg: p.seg})
	}
	return entries, nil
}

// load returns entries [from, to), from memory or from the index file.
func (p *part) load(from, to int) ([]entry, error) {
	if p.entries != nil {
		return p.entries[from:to], nil
	}
	return p.seg.loadEntries(p.at+int64(from)*entrySize, to-from)
}

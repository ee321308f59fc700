package seglog

// slack is how much of a segment may stay allocated behind its end.
const slack = 64 << 10

// seal cuts off what a full segment did not use, makes its index file, and lets go
// of what memory holds of it. If that fails, memory keeps it, and the next start
// tries again: the index comes last, so that it stands for both.
func (l *Log) seal(s *segment) {
	if !s.broken && s.capacity > s.end+slack {
		if err := s.file.Truncate(int64(s.end)); err != nil {
			l.log.WithError(err).WithField("segment", s.name).Warn("a segment could not be cut to its length")
		}
	}
	if s.idx == nil && s.total > 0 {
		if err := l.makeIndex(s); err != nil {
			l.log.WithError(err).WithField("segment", s.name).Warn("the index of a segment could not be written")
		}
	}
}

func (l *Log) makeIndex(s *segment) error {
	l.mu.RLock()
	b, at := encodeIndex(s, s.parts)
	l.mu.RUnlock()
	f, err := l.writeFile(idxName(s.seq), b)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.idx = f
	for i, p := range s.parts {
		p.entries, p.at = nil, at[i]
	}
	return nil
}

package seglog

// slack is how much of a segment may stay allocated behind its end.
const slack = 64 << 10

// writeIndex makes the index file of a segment that is full, and lets go of what
// memory holds of it. If that fails, memory keeps it, and the next start makes
// the file anew.
func (l *Log) writeIndex(s *segment) {
	if s.idx == nil && s.total > 0 {
		if err := l.makeIndex(s); err != nil {
			l.log.WithError(err).WithField("segment", s.name).Warn("the index of a segment could not be written")
		}
	}
	if !s.broken && s.capacity > s.end+slack {
		if err := s.file.Truncate(int64(s.end)); err != nil {
			l.log.WithError(err).WithField("segment", s.name).Warn("a segment could not be cut to its length")
		}
	}
}

func (l *Log) makeIndex(s *segment) error {
	l.mu.RLock()
	b, at := encodeIndex(s, s.parts)
	l.mu.RUnlock()
	if err := writeFile(l.fs, idxName(s.seq), b); err != nil {
		return err
	}
	f, err := l.fs.Open(idxName(s.seq), false)
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

package local

import (
	"github.com/orbitd/orbitd/pkg/message"
)

// judge says why s is refused, nil if it is not. It changes nothing.
func (e *Engine) judge(c *commit, s *submit) *message.Error {
	for i := range s.keys {
		if err := e.judgeKey(c, s, i); err != nil {
			err.Index = i
			return err
		}
	}
	if err := e.refusing.Load(); err != nil && e.seq.held != nil && len(s.sessions) > 0 {
		return err
	}
	if e.onlyDuplicates(s) {
		return nil
	}
	if s.otherwise != nil {
		return s.otherwise
	}
	if err := e.corrupt.Load(); err != nil {
		return err
	}
	if err := e.refusing.Load(); err != nil && (e.seq.held != nil || !e.onlyMemory(s)) {
		return err
	}
	if e.seq.next+message.Offset(len(s.msgs)) > message.MaxOffset {
		return message.Errorf(message.Unavailable, "all offsets are used up")
	}
	return e.judgeQuotas(c, s)
}

func (e *Engine) judgeKey(c *commit, s *submit, i int) *message.Error {
	m, key := &s.msgs[i], &s.keys[i]
	if m.Key != "" {
		k, known := e.seq.keys.get(key.scope)
		if !known {
			k, known = s.earlier(i, key.scope)
		}
		switch {
		case known && e.seq.held != nil && k.offset >= e.seq.held.from:
			return message.Errorf(message.Unknown, "the disk failed while a message with this key was written; retry to settle it")
		case known && k.content != key.content:
			return message.Errorf(message.Conflict, "the key was used before, with another message")
		case known:
			return nil
		case e.seq.keys.expired(m.First):
			return message.Errorf(message.KeyExpired, "the first attempt was too long ago to know whether it succeeded")
		}
	}
	if m.Predecessor == "" {
		return nil
	}
	if k, known := e.seq.keys.get(key.predecessor); known {
		if e.seq.held != nil && k.offset >= e.seq.held.from {
			return message.Errorf(message.Unavailable, "the disk failed while the message before this one was written")
		}
		return nil
	}
	if _, known := s.earlier(i, key.predecessor); !known {
		return message.Errorf(message.OutOfOrder, "the message before this one is not stored")
	}
	return nil
}

// earlier looks for a key among the messages of s before i.
func (s *submit) earlier(i int, want scope) (keyed, bool) {
	for j := range s.keys[:i] {
		if s.msgs[j].Key != "" && s.keys[j].scope == want {
			return keyed{content: s.keys[j].content}, true
		}
	}
	return keyed{}, false
}

// onlyDuplicates reports whether nothing of s is to be stored.
func (e *Engine) onlyDuplicates(s *submit) bool {
	if s.keys == nil {
		return len(s.msgs) == 0
	}
	for i := range s.msgs {
		if s.msgs[i].Key == "" {
			return false
		}
		if _, known := e.seq.keys.get(s.keys[i].scope); !known {
			return false
		}
	}
	return true
}

// onlyMemory reports whether nothing of s goes to the disk.
func (e *Engine) onlyMemory(s *submit) bool {
	if e.seq.next+message.Offset(len(s.msgs)) > message.Offset(e.seg.Ceiling()) {
		return false
	}
	for i := range s.msgs {
		if _, rule := e.state(s.msgs[i].Channel); !rule.Memory {
			return false
		}
	}
	return true
}

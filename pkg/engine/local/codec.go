package local

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
)

// The types of records; they are on disk.
const (
	typeMessage = 1 // in the stream of its channel
	typeSession = 2 // a session, whole
	typeDrop    = 3 // a session's key
	typeMoves   = 4 // cursors of one session that moved
	// typeAfter is a message whose channel's one before was in memory: its offset,
	// then as typeMessage.
	typeAfter = 5
)

var errRecord = errors.New("a record cannot be read by this program")

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A reader takes values from the front of b. After an error everything is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fail() { r.b, r.err = nil, errRecord }

// bytes returns the next length-prefixed bytes; they are a part of the record.
func (r *reader) bytes() []byte {
	return r.fixed(r.uvarint())
}

func (r *reader) fixed(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) string() string { return string(r.bytes()) }

// count returns a number of things of at least one byte each.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

// end returns the error, also if something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}

// appendMessage appends what a message's record does not have in its fixed part.
func appendMessage(b []byte, m *message.Message) []byte {
	b = appendString(b, m.Publisher)
	b = appendString(b, m.ContentType)
	b = appendString(b, m.Key)
	b = binary.AppendUvarint(b, uint64(len(m.Headers)))
	for _, h := range m.Headers {
		b = appendString(appendString(b, h.Name), h.Value)
	}
	return append(b, m.Data...)
}

// decodeMessage reads a message's record. Data is a part of its body.
func decodeMessage(rec *seglog.Record, m *message.Message) error {
	m.Offset, m.Previous, m.Time = message.Offset(rec.Offset), message.Offset(rec.Prev), rec.Time
	r := reader{b: rec.Body}
	if rec.Type == typeAfter {
		m.Previous = message.Offset(r.uvarint())
	}
	m.Publisher, m.ContentType, m.Key = r.string(), r.string(), r.string()
	if n := r.count(); n > 0 {
		m.Headers = make([]message.Header, 0, n)
		for range n {
			m.Headers = append(m.Headers, message.Header{Name: r.string(), Value: r.string()})
		}
	}
	if r.err == nil && len(r.b) > 0 {
		m.Data = r.b
	}
	return r.err
}

func appendSession(b []byte, s *engine.Session) []byte {
	b = append(b, s.Key[:]...)
	b = appendString(appendString(appendString(b, s.Realm), s.User), s.Name)
	b = append(append(b, s.Secrets[0][:]...), s.Secrets[1][:]...)
	b = binary.AppendUvarint(b, uint64(s.TTL))
	b = binary.AppendUvarint(b, uint64(s.Seen))
	b = binary.AppendUvarint(b, uint64(len(s.Subscriptions)))
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		b = appendString(appendString(b, sub.Channel), sub.ID)
		b = appendCursor(b, &sub.Cursor)
		b = appendString(b, sub.Options)
	}
	return b
}

func (r *reader) session() (s engine.Session) {
	copy(s.Key[:], r.fixed(16))
	s.Realm, s.User, s.Name = r.string(), r.string(), r.string()
	copy(s.Secrets[0][:], r.fixed(32))
	copy(s.Secrets[1][:], r.fixed(32))
	s.TTL = time.Duration(r.uvarint())
	s.Seen = int64(r.uvarint())
	if n := r.count(); n > 0 {
		s.Subscriptions = make([]engine.Subscription, 0, n)
		for range n {
			sub := engine.Subscription{Channel: channel.Name(r.string()), ID: r.string(), Cursor: r.cursor()}
			if options := r.bytes(); len(options) > 0 {
				sub.Options = slices.Clone(options)
			}
			s.Subscriptions = append(s.Subscriptions, sub)
		}
	}
	return s
}

func appendCursor(b []byte, c *engine.Cursor) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Position.Epoch))
	b = binary.AppendUvarint(b, uint64(c.Position.Offset))
	b = binary.AppendUvarint(b, uint64(len(c.Above)))
	last := c.Position.Offset
	for _, o := range c.Above {
		b = binary.AppendUvarint(b, uint64(o-last))
		last = o
	}
	return b
}

func (r *reader) cursor() (c engine.Cursor) {
	if e := r.fixed(8); e != nil {
		c.Position.Epoch = message.Epoch(binary.LittleEndian.Uint64(e))
	}
	c.Position.Offset = message.Offset(r.uvarint())
	last := c.Position.Offset
	if n := r.count(); n > 0 {
		c.Above = make([]message.Offset, 0, n)
		for range n {
			last += message.Offset(r.uvarint())
			c.Above = append(c.Above, last)
		}
	}
	return c
}

func appendInt(b []byte, v int64) []byte { return binary.AppendUvarint(b, uint64(v)) }

func channelOf(r *reader) channel.Name { return channel.Name(r.string()) }

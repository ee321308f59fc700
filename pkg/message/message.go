package message

import "github.com/orbitd/orbitd/pkg/channel"

// A Message is one payload on one channel. Once an engine has taken it, its
// slices and strings are shared by all readers and never written again.
type Message struct {
	Channel     channel.Name
	Publisher   string // canonical name of who published it; empty if anonymous
	ContentType string // media type of Data; empty means application/json
	Headers     []Header
	Data        []byte

	// Given by the engine.
	Offset   Offset
	Previous Offset // of the channel's message before this one; 0 if it is the first
	Time     int64  // when it was stored: Unix milliseconds, never running backwards

	// Asked for by the publisher. Key makes the publish idempotent within its
	// scope (channel, publisher, key); First is when the publisher first tried
	// it, in Unix milliseconds by the server's clock (0: now); Predecessor is
	// the key in the same scope without which this message is refused.
	Key         string
	First       int64
	Predecessor string
}

// A Header is one user-defined name and value that travels with a message.
type Header struct{ Name, Value string }

// JSON reports whether the payload is a JSON value.
func (m *Message) JSON() bool { return m.ContentType == "" }

// Size is what the message counts for in limits of bytes: payload, headers and
// a fixed share for what surrounds them.
func (m *Message) Size() int {
	n := len(m.Data) + len(m.Channel) + len(m.Publisher) + len(m.ContentType) + len(m.Key) + 64
	for _, h := range m.Headers {
		n += len(h.Name) + len(h.Value)
	}
	return n
}

package stomp

import (
	"bytes"
	"mime"
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// sendFrame publishes, or adds to a transaction.
func (c *conn) sendFrame(f *frame.Frame) {
	m, err := messageOf(f)
	if err != nil {
		c.fail(err, f)
		return
	}
	if id, ok := f.Get("transaction"); ok {
		if t := c.inside(string(id), f); t != nil {
			t.messages = append(t.messages, m)
			c.bounded(t, m.Size(), f)
		}
		return
	}
	c.publishing++
	receipt, loop := asked(f), c.part.loop
	c.server().broker.Publish(c.who, []message.Message{m}, func(_ []engine.Receipt, err error) {
		loop.Post(func() { c.published(receipt, err) })
	})
}

// published says that what was published is durable.
func (c *conn) published(receipt *string, err error) {
	c.publishing--
	switch {
	case c.closed:
		return
	case err != nil:
		c.failTo(err, receipt)
		return
	}
	c.answer(receipt)
	if c.publishing == 0 || c.publishing == maxPublishing-1 {
		c.proceed()
	}
}

// messageOf returns what a SEND asks to be stored.
func messageOf(f *frame.Frame) (m message.Message, err error) {
	if m.Channel, err = destination(f); err != nil {
		return m, err
	}
	if key, ok := f.Get("idempotency-key"); ok {
		if len(key) == 0 || len(key) > protocol.MaxKey {
			return m, message.Errorf(message.BadRequest, "idempotency-key has 1 to %d bytes", protocol.MaxKey)
		}
		m.Key = string(key)
	}
	if m.Headers, err = userHeaders(f); err != nil {
		return m, err
	}
	return m, setPayload(&m, f)
}

func destination(f *frame.Frame) (channel.Name, error) {
	text, ok := f.Get("destination")
	if !ok {
		return "", message.Errorf(message.BadRequest, "%s needs a destination", f.Command)
	}
	name, err := channel.Parse(string(text))
	if err != nil {
		return "", message.Errorf(message.UnknownChannel, "%v", err)
	}
	return name, nil
}

// setPayload gives m the body. Without a content-type it is JSON if it can be read
// as such, so that a page need not know which client it came from; else a binary
// blob, as the specification has it.
func setPayload(m *message.Message, f *frame.Frame) error {
	contentType, named := f.Get("content-type")
	media := "application/json"
	if named {
		var err error
		media, _, err = mime.ParseMediaType(string(contentType))
		if err != nil || !protocol.ValidContentType(string(contentType)) {
			return message.Errorf(message.BadRequest, "malformed content-type")
		}
	}
	if media == "application/json" {
		data, wrong := protocol.Payload(f.Body)
		if wrong == nil {
			m.Data = data
			return nil
		}
		if named {
			return message.Errorf(message.BadRequest, "the body is not one JSON value: %s; send JSON, or another content-type", wrong.Text)
		}
		contentType = []byte("application/octet-stream")
	}
	m.ContentType, m.Data = string(contentType), f.Body
	if !f.Owned {
		m.Data = bytes.Clone(f.Body)
	}
	return nil
}

// ours reports whether a header is the protocol's or the server's: what a client
// says by that name is not passed on.
func ours[B ~string | ~[]byte](name B) bool {
	switch string(name) {
	case "destination", "content-type", "content-length", "transaction", "receipt", "idempotency-key",
		"message-id", "subscription", "ack", "redelivered", "timestamp", "user", "gap":
		return true
	}
	return false
}

// userHeaders returns the headers that travel with the message: the first of each
// name.
func userHeaders(f *frame.Frame) (all []message.Header, err error) {
	size := 0
	for i := range f.Headers {
		h := &f.Headers[i]
		repeats := slices.ContainsFunc(f.Headers[:i], func(o frame.Header) bool { return bytes.Equal(o.Name, h.Name) })
		if repeats || ours(h.Name) {
			continue
		}
		size += len(h.Name) + len(h.Value)
		all = append(all, message.Header{Name: string(h.Name), Value: string(h.Value)})
	}
	if size > protocol.MaxHeaderBytes {
		return nil, message.Errorf(message.TooLarge, "the headers of a message may have %d bytes together", protocol.MaxHeaderBytes)
	}
	return all, nil
}

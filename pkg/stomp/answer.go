package stomp

import (
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// asked returns the receipt that a frame asks for, or nil. It may be kept.
func asked(f *frame.Frame) *string {
	id, ok := f.Get("receipt")
	if !ok {
		return nil
	}
	text := string(id)
	return &text
}

// receipt says that f was carried out, if it asks for that.
func (c *conn) receipt(f *frame.Frame) { c.answer(asked(f)) }

// answer says that a frame was carried out which asked for that receipt, unless nil.
func (c *conn) answer(receipt *string) {
	if receipt != nil {
		c.write(func(dst []byte) []byte {
			return frame.Append(dst, c.version(), frame.Receipt, nil, "receipt-id", *receipt)
		})
	}
}

// version is how frames are written: before there is one, as all can read them.
func (c *conn) version() frame.Version {
	if c.decoder.Version == frame.None {
		return frame.V10
	}
	return c.decoder.Version
}

// errorType is the content-type of an ERROR's body. With its charset: stompit, where it
// says "text/plain" and no more, ends the process that it is part of.
const errorType = "text/plain;charset=utf-8"

// fail tells the client what was wrong, and ends the connection. f is the frame
// that was, if it is known.
func (c *conn) fail(err error, f *frame.Frame) {
	if f == nil {
		c.failTo(err, nil)
		return
	}
	c.failTo(err, asked(f))
}

// failTo is fail for a frame that asked for that receipt, unless nil.
func (c *conn) failTo(err error, receipt *string) {
	if c.closed {
		return
	}
	e := message.AsError(err)
	if e.Cause != nil && e.Code == message.Internal {
		c.server().log.WithError(err).Error("a STOMP frame failed")
	}
	headers := []string{"message", e.Text, "code", string(e.Code), "content-type", errorType}
	if receipt != nil {
		headers = append(headers, "receipt-id", *receipt)
	}
	c.write(func(dst []byte) []byte {
		return frame.Append(dst, c.version(), frame.Error, []byte(e.Text+"\n"), headers...)
	})
	c.end()
}

// end closes the connection after all that was queued.
func (c *conn) end() {
	if c.closed {
		return
	}
	if c.socket != nil {
		c.socket.farewell(c)
	}
	c.flush()
	c.leave()
	c.rc.Close()
}

// leave ends the subscriptions. Nothing more is read or sent.
func (c *conn) leave() {
	if c.closed {
		return
	}
	c.closed = true
	for all := c.subs.all; len(all) > 0; all = c.subs.all {
		c.remove(all[len(all)-1])
	}
	c.transactions, c.out, c.held = nil, nil, nil
}

// Closed ends the connection's part in everything.
func (c *conn) Closed(*reactor.Conn, error) {
	c.server().open.Add(-1)
	c.leave()
}

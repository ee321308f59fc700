package load

import (
	"bytes"
	"fmt"
)

// A Client is one connection, or one poll after the other: a subscriber if it has a
// channel, a publisher if it has an OnAccept, over a WebSocket or by STOMP. Its numbers
// count the messages of its channel from 1.
type Client struct {
	fleet   *Fleet
	conn    *Conn
	Channel int // its place in the names; -1: none
	name    string

	start  Start
	next   uint64 // the number that is due
	open   bool   // the handshake was answered
	joined bool
	unread int // deliveries since the last acknowledgement

	session, secret string // where they are needed
	at              Start  // a poll's position

	OnAccept func()
	// OnRefused is called for a publish that is answered with an error; nil: that is a
	// failure of the fleet.
	OnRefused func()
}

// ackEvery is how many deliveries are acknowledged together: a quarter of the
// window that orbitd has by default.
const ackEvery = 64

// Open implements Handler: everything in one write.
func (c *Client) Open(conn *Conn) {
	c.conn = conn
	f := c.fleet
	f.scratch = f.dialect.Join(f.scratch[:0], c.name, c.start)
	conn.Write(f.scratch)
	if c.way().isRaw() {
		c.begin()
	}
}

// begin notes that there is no handshake any more.
func (c *Client) begin() {
	c.open = true
	if c.name == "" && !c.way().IsStomp() {
		c.join(nil)
	}
}

// Closed implements Handler.
func (c *Client) Closed(_ *Conn, err error) {
	c.fleet.fail(fmt.Errorf("a client: %w", err))
}

// Close ends the connection and keeps the position.
func (c *Client) Close() {
	c.conn.Close()
	c.fleet.Joined--
}

// way returns how the client is connected.
func (c *Client) way() Way {
	way := c.fleet.dialect.Way()
	if c.name == "" && !way.IsStomp() {
		return WebSocket
	}
	return way
}

// Data implements Handler.
func (c *Client) Data(conn *Conn, b []byte) int {
	if c.way() == Poll {
		return c.polled(conn, b)
	}
	used := 0
	if !c.open {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			return 0
		}
		status := "HTTP/1.1 200 "
		if c.way().isSocket() {
			status = "HTTP/1.1 101 "
		}
		if !bytes.HasPrefix(b, []byte(status)) {
			c.fleet.fail(fmt.Errorf("the handshake was answered: %.100q", b))
			return len(b)
		}
		c.begin()
		used = end + 4
	}
	r := &c.fleet.reader
	if c.way() != r.way {
		r = &c.fleet.sockets
	}
	for {
		text, n := r.next(b[used:])
		if n == 0 {
			return used
		}
		used += n
		if r.way.IsStomp() {
			c.message(conn, text)
			continue
		}
		c.messages(conn, text)
	}
}

// messages takes what stands one a line.
func (c *Client) messages(conn *Conn, text []byte) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		c.message(conn, line)
		text = rest
	}
}

// polled takes an answer, and polls again.
func (c *Client) polled(conn *Conn, b []byte) int {
	status, body, length := nextAnswer(b)
	switch {
	case length == 0:
		return 0
	case status != "200":
		c.fleet.fail(fmt.Errorf("a poll was answered: %.300q", b))
		return len(b)
	}
	c.messages(conn, body)
	if c.joined {
		commands := fmt.Sprintf(`{"id":2,"op":"connect","session":%q,"secret":%q,"epoch":%q,"last":{%q:%d}}`, c.session, c.secret, c.at.Epoch, c.name, c.at.Offset)
		conn.Write(appendPost(nil, "/v1/poll?wait=55", "", []byte(commands)))
	}
	return length
}

func (c *Client) join(m []byte) {
	if c.joined {
		return
	}
	c.joined = true
	c.fleet.Joined++
	if m != nil && c.start == FromNow {
		c.start = positionOf(m)
		c.at = c.start
	}
}

// knows keeps what a later request of this client has to name.
func (c *Client) knows(m []byte) {
	if c.way().isSocket() {
		return
	}
	if session := text(m, `"session":"`); session != "" {
		c.session, c.secret = session, text(m, `"secret":"`)
	}
}

func (c *Client) message(conn *Conn, m []byte) {
	f, d := c.fleet, c.fleet.dialect
	if n, ok := d.Delivered(m); ok {
		c.delivered(conn, n, m)
		return
	}
	c.knows(m)
	switch {
	case !c.joined && d.Joined(m):
		c.join(m)
	case c.OnAccept != nil && d.Accepted(m):
		c.OnAccept()
	case c.OnRefused != nil && bytes.HasPrefix(m, []byte(`{"re":`)) && bytes.Contains(m, []byte(`"error":`)):
		c.OnRefused()
	case bytes.Contains(m, []byte(`"error":`)) || bytes.Contains(m, []byte(`"gap":`)) || bytes.Contains(m, []byte(`"bye":`)) || bytes.HasPrefix(m, []byte("ERROR\n")):
		f.fail(fmt.Errorf("the server said %s", m))
	default:
		if f.scratch = d.Reply(f.scratch[:0], m); len(f.scratch) > 0 {
			conn.Write(f.scratch)
		}
	}
}

// delivered judges one message.
func (c *Client) delivered(conn *Conn, n uint64, m []byte) {
	f := c.fleet
	f.Received++
	if n < c.next {
		f.late(c, n)
		return
	}
	for ; c.next < n; c.next++ {
		f.Lost++
		if len(f.skipped) < maxSkipped {
			f.skipped[skip{c, c.next}] = true
		}
	}
	c.next = n + 1
	if c.way() == Poll {
		c.at.Offset, _ = field(m, `"o":`)
	}
	if c.unread++; c.unread == ackEvery {
		c.unread = 0
		c.ack(conn, f.dialect.Ack(c.name, m))
	}
	f.OnDelivery(c.Channel, n)
}

// ack sends an acknowledgement, if there is one.
func (c *Client) ack(conn *Conn, text string) {
	switch f := c.fleet; {
	case text == "":
	case c.way().isSocket():
		f.scratch = c.way().say(f.scratch[:0], text)
		conn.Write(f.scratch)
		conn.readsOn()
	default:
		f.send(c, text)
	}
}

// Publish sends message n of a channel.
func (c *Client) Publish(channel string, n uint64, size int) {
	f := c.fleet
	f.scratch = f.dialect.Publish(f.scratch[:0], channel, n, size)
	c.conn.Write(f.scratch)
}

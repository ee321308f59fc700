package kill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
	"github.com/orbitd/orbitd/tests/checker"
	"github.com/orbitd/orbitd/tests/scene"
)

// A stompClient is one connection that has logged in.
type stompClient struct {
	net.Conn
	decoder frame.Decoder
	buf     [32 << 10]byte
	unread  []byte
}

func dialSTOMP(ctx context.Context, address string) (*stompClient, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { nc.Close() })
	c := &stompClient{Conn: nc, decoder: frame.Decoder{Version: frame.V12, Limits: frame.Limits{Headers: 100, Line: 8 << 10, Body: 1 << 20}}}
	err = c.say("CONNECT\naccept-version:1.2\nhost:x\nlogin:%s\npasscode:%s\n\n\x00", scene.User, scene.Password)
	if f, e := c.next(); err != nil || e != nil || f.Command != frame.Connected {
		nc.Close()
		return nil, fmt.Errorf("not connected: %v, %v, %v", err, e, f)
	}
	return c, nil
}

func (c *stompClient) say(format string, args ...any) error {
	_, err := fmt.Fprintf(c.Conn, format, args...)
	return err
}

// next returns the next frame, which is valid until the next call.
func (c *stompClient) next() (*frame.Frame, error) {
	for {
		for len(c.unread) > 0 {
			f, n, err := c.decoder.Next(c.unread)
			if c.unread = c.unread[n:]; f != nil || err != nil {
				return f, err
			}
		}
		n, err := c.Read(c.buf[:])
		if n == 0 && err != nil {
			return nil, err
		}
		c.unread = c.buf[:n]
	}
}

// A stompConsumer is a durable subscription, or a consumer of a group, over one
// connection after the other. It reads some messages, processes them, and acknowledges
// them in any order; now and then it crashes before it has processed them.
type stompConsumer struct {
	address, mode string
	group         bool
	refuses       bool // one of poisonEvery messages, each time
	pipes         bool // sends each on, in one transaction with its ACK
	lives         int
	*processed    // consumers of a group share it
	failed        error

	mu      sync.Mutex
	current *stompClient
}

// poisonEvery is how many messages there are for one that is refused.
const poisonEvery = 100

// poison reports whether c refuses the message.
func (c *stompConsumer) poison(m *stompMessage) bool { return c.refuses && m.n%poisonEvery == 0 }

// A processed is what an application knows of the messages that it has processed.
type processed struct {
	who         string
	mu          sync.Mutex
	done        map[uint64]bool // their offsets
	deliveries  []checker.Delivery
	redelivered int
}

func newProcessed(who string) *processed { return &processed{who: who, done: map[uint64]bool{}} }

func (p *processed) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.done)
}

// A stompMessage is one that was read.
type stompMessage struct {
	n      int64
	offset uint64
	ack    string
	again  bool
}

// cut ends the connection without a word.
func (c *stompConsumer) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.Close()
	}
}

// run consumes until its context ends.
func (c *stompConsumer) run(ctx context.Context) {
	for ctx.Err() == nil && c.failed == nil {
		if conn, err := c.subscribe(ctx); err == nil {
			c.live(conn)
			conn.Close()
		}
	}
}

func (c *stompConsumer) subscribe(ctx context.Context) (*stompClient, error) {
	conn, err := dialSTOMP(ctx, c.address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.current = conn
	c.mu.Unlock()
	kind := "durable:true"
	if c.group {
		kind = "group:g\nprefetch-count:50"
	}
	err = conn.say("SUBSCRIBE\nid:%s\ndestination:%s\n%s\nack:%s\nreceipt:s\n\n\x00", c.who, queue, kind, c.mode)
	if f, e := conn.next(); err != nil || e != nil || f.Command != frame.Receipt {
		conn.Close()
		return nil, fmt.Errorf("not subscribed: %v, %v, %v", err, e, f)
	}
	return conn, nil
}

// live is one connection, until it ends.
func (c *stompConsumer) live(conn *stompClient) {
	c.lives++
	last := uint64(0)
	var read []stompMessage
	for {
		f, err := conn.next()
		if err != nil || f.Command != frame.Message {
			return
		}
		m := stompMessage{ack: f.Text("ack"), again: f.Text("redelivered") == "true"}
		_, text, _ := strings.Cut(f.Text("message-id"), "-")
		if _, err := fmt.Sscan(text+" "+string(f.Body), &m.offset, &m.n); err != nil || m.offset <= last && !(m.again && (c.group || c.refuses)) {
			c.failed = fmt.Errorf("%s: %q %s behind %d: %v", c.mode, f.Headers, f.Body, last, err)
			return
		}
		last = max(last, m.offset)
		read = append(read, m)
		if c.mode != "auto" && rand.IntN(200) == 0 {
			return
		}
		if c.mode == "auto" || len(read) == 16 || len(conn.unread) == 0 {
			c.take(slices.DeleteFunc(slices.Clone(read), func(m stompMessage) bool { return c.poison(&m) }))
			c.acknowledge(conn, read)
			read = read[:0]
		}
	}
}

// take processes messages; those that were processed before and may come again are
// passed over.
func (p *processed) take(messages []stompMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		if m.again && p.done[m.offset] {
			p.redelivered++
			continue
		}
		p.done[m.offset] = true
		p.deliveries = append(p.deliveries, checker.Delivery{Who: p.who, Channel: queue, N: m.n, Offset: m.offset})
	}
}

func (c *stompConsumer) acknowledge(conn *stompClient, messages []stompMessage) {
	switch {
	case c.pipes:
		_ = conn.say("BEGIN\ntransaction:t\n\n\x00")
		for _, m := range messages {
			_ = conn.say("SEND\ndestination:%s\ntransaction:t\n\n%d\x00ACK\nid:%s\ntransaction:t\n\n\x00", out, m.n, m.ack)
		}
		_ = conn.say("COMMIT\ntransaction:t\n\n\x00")
	case c.mode == "client":
		_ = conn.say("ACK\nid:%s\n\n\x00", messages[len(messages)-1].ack)
	case c.mode == "client-individual":
		for _, i := range rand.Perm(len(messages)) {
			command := "ACK"
			if c.poison(&messages[i]) {
				command = "NACK"
			}
			_ = conn.say("%s\nid:%s\n\n\x00", command, messages[i].ack)
		}
	}
}

package stomp

import (
	"bytes"
	"errors"
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// A conn is one parked STOMP connection: the reactor's handler and the state
// machine. It is owned by its loop, which it never leaves.
//
// SENDs overlap with each other. A frame whose receipt says that everything before
// it is done waits until they are answered, and holds up what is behind it; the
// peer's TCP slows it down meanwhile.
type conn struct {
	rc      *reactor.Conn
	part    *part
	decoder frame.Decoder
	socket  *websocket // nil over TCP
	request *request   // nil behind CONNECT
	who     *broker.Who

	subs         table // of each of their applications, a place is taken
	numbers      int   // that were given to subscriptions
	transactions map[string]*transaction
	client       string // client-id: a part of what durable subscriptions are called
	inTx         int    // bytes in all transactions
	unacked      int    // bytes sent and not acknowledged
	silent       int32  // subscriptions that are durable and acknowledge nothing

	publishing int32
	rate       int32        // frames in a second; 0: no bound
	allowance  int32        // frames that may come before the next tick, if there is one
	held       *frame.Frame // waits for what is before it
	out        [][]byte     // to be sent at the end of the turn; nil if there is nothing
	busy       bool         // a frame is being carried out elsewhere
	committing bool         // a transaction waits for what it acknowledges to be free
	connected  bool
	closed     bool
	dirty      bool
	blocked    bool // the socket has not taken everything

	sent    time.Time // the last bytes, by the loop's clock
	reading int64     // when reading was last resumed, Unix nanoseconds: silence before is ours
	began   int64     // since when a frame is not complete, so; 0 where none is
	beat    time.Duration
	expects time.Duration
}

// begin makes the handler of a connection.
func (s *Server) begin(rc *reactor.Conn) *conn {
	s.open.Add(1)
	now := s.now()
	rc.SetUserTimeout(stallTimeout) // a peer that has gone without a word is noticed,
	rc.SetKeepAlive(keepAlive)      // also where neither side promised a heart-beat
	c := &conn{rc: rc, part: s.parts[rc.Loop().Index()], request: &request{began: now}, sent: now, reading: now.UnixNano(), rate: int32(s.limits.CommandRate), allowance: int32(s.limits.CommandBurst)}
	c.decoder.Room = &c.part.headers
	c.decoder.Limits = frame.Limits{Headers: maxHeaders, Line: maxLoginHead, Head: maxLoginHead}
	if c.part.drained {
		c.fail(errRestart, nil)
	}
	return c
}

func (c *conn) server() *Server { return c.part.server }

// waits reports whether no frames are taken at the moment.
func (c *conn) waits() bool {
	return c.busy || c.committing || c.held != nil || c.blocked || c.publishing >= maxPublishing || c.rate > 0 && c.allowance <= 0
}

// large is from how many bytes on the body of a frame is read on, once it is begun, before
// others are: what is kept of many that come at once is then that of few.
const large = 16 << 10

// Data reads frames for as long as they are taken.
func (c *conn) Data(_ *reactor.Conn, b []byte) (consumed int) {
	if c.socket != nil {
		consumed = c.socket.read(c, b)
	} else {
		consumed = c.feed(b)
	}
	if c.began == 0 && c.decoder.Partial() {
		c.began = c.part.loop.Now().UnixNano()
	}
	switch {
	case c.closed:
		return len(b)
	case c.waits():
		c.rc.PauseRead()
	case c.decoder.Promised() >= large:
		c.rc.ReadOn()
	}
	return consumed
}

// feed takes bytes of the stream, and returns how many.
func (c *conn) feed(b []byte) (n int) {
	for n < len(b) && !c.closed && !c.waits() {
		f, took, err := c.decoder.Next(b[n:])
		n += took
		switch {
		case errors.Is(err, frame.ErrTooLarge):
			c.fail(message.Errorf(message.TooLarge, "%v", err), nil)
		case err != nil:
			c.fail(message.Errorf(message.BadRequest, "%v", err), nil)
		case f != nil:
			c.allowance--
			c.began = 0
			c.frame(f)
			f.Body = nil // or the decoder would keep it until the next frame
		}
	}
	return n
}

// proceed goes on after something that was waited for.
func (c *conn) proceed() {
	if f := c.held; f != nil && !c.busy && c.publishing == 0 && !c.closed {
		c.held = nil
		c.carryOut(f)
	}
	if !c.closed && !c.waits() {
		c.reading = c.server().now().UnixNano()
		c.rc.ResumeRead()
	}
}

// frame carries out one frame, or has it wait. It is borrowed.
func (c *conn) frame(f *frame.Frame) {
	opens := f.Command == frame.Connect || f.Command == frame.Stomp
	switch {
	case !c.connected && !opens:
		c.fail(message.Errorf(message.BadRequest, "send CONNECT first"), f)
	case c.connected && opens:
		c.fail(message.Errorf(message.BadRequest, "this connection is connected already"), f)
	case c.publishing > 0 && settles(f.Command):
		c.held = clone(f)
	default:
		c.carryOut(f)
	}
}

// settles reports whether a frame is carried out only when the SENDs before it are.
func settles(c frame.Command) bool {
	return c == frame.Subscribe || c == frame.Unsubscribe || c == frame.Disconnect
}

func clone(f *frame.Frame) *frame.Frame {
	own := &frame.Frame{Command: f.Command, Body: bytes.Clone(f.Body), Owned: true}
	for _, h := range f.Headers {
		own.Headers = append(own.Headers, frame.Header{Name: bytes.Clone(h.Name), Value: bytes.Clone(h.Value)})
	}
	return own
}

func (c *conn) carryOut(f *frame.Frame) {
	switch f.Command {
	case frame.Connect, frame.Stomp:
		c.connect(f)
	case frame.Send:
		c.sendFrame(f)
	case frame.Subscribe:
		c.subscribe(f)
	case frame.Unsubscribe:
		c.unsubscribe(f)
	case frame.Ack, frame.Nack:
		c.ack(f)
	case frame.Begin, frame.Commit, frame.Abort:
		c.transact(f)
	case frame.Disconnect:
		c.receipt(f)
		c.end()
	default:
		c.fail(message.Errorf(message.BadRequest, "%s is a frame of servers", f.Command), f)
	}
}

// Writable goes on with what waited for the socket.
func (c *conn) Writable(*reactor.Conn) {
	c.blocked = false
	if c.closed {
		return
	}
	c.flushed()
	c.resume()
	c.proceed()
}

// write queues a frame of the connection's own.
func (c *conn) write(build func([]byte) []byte) {
	if c.socket != nil {
		c.queue(c.part.memory.Cut(func(dst []byte) []byte { return appendText(dst, build) }))
		return
	}
	c.queue(c.part.memory.Cut(build))
}

// queue queues bytes for the end of the turn.
func (c *conn) queue(bufs ...[]byte) {
	if c.closed {
		return
	}
	if c.out == nil {
		c.out = c.part.memory.Take()
	}
	c.out = append(c.out, bufs...)
	if !c.dirty {
		c.dirty = true
		c.part.dirty = append(c.part.dirty, c)
	}
}

func (c *conn) flush() {
	if len(c.out) == 0 || c.closed {
		return
	}
	c.blocked = c.rc.Write(c.out...)
	c.sent = c.part.loop.Now()
	if !c.blocked && !c.rc.Lost() {
		c.flushed()
	}
	c.part.memory.Give(c.out)
	c.out = nil
}

// allow lets more frames come: those beyond the rate wait for it, and the peer's TCP
// slows it down meanwhile.
func (c *conn) allow() {
	waited := c.allowance <= 0
	c.allowance = min(c.allowance+c.rate, max(int32(c.server().limits.CommandBurst), c.rate))
	if waited {
		c.proceed()
	}
}

// owes enters that a message of a size was sent that is to be acknowledged.
func (c *conn) owes(size int) {
	c.unacked += size
	c.part.count.unacked++
}

// paid enters that it need not be any more.
func (c *conn) paid(size int) {
	c.unacked -= size
	c.part.count.unacked--
}

package protocol

import (
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// An Op names what a command asks for.
type Op string

// The ops of orbit.v1. Ack, ping and pong have no id and are not answered.
const (
	OpConnect     Op = "connect"
	OpSubscribe   Op = "subscribe"
	OpUnsubscribe Op = "unsubscribe"
	OpPublish     Op = "publish"
	OpHistory     Op = "history"
	OpAuth        Op = "auth"
	OpAck         Op = "ack"
	OpPing        Op = "ping"
	OpPong        Op = "pong"
)

// Answered reports whether commands of this op carry an id and get a reply.
func (o Op) Answered() bool { return o != OpAck && o != OpPing && o != OpPong }

// Limits of what the protocol carries, as PROTOCOL.md states them.
const (
	MaxKey          = 128     // bytes of key and prev
	MaxClient       = 64      // bytes of client
	MaxContentType  = 255     // bytes of ct
	MaxHeaders      = 100     // headers of a message
	MaxHeaderBytes  = 8 << 10 // their names and values together
	MaxAuth         = 64      // applications for which one connection has identities
	DefaultHistory  = 50      // messages of a history without a limit
	MaxHistory      = 256
	CommandOverhead = 4096 // bytes that a command may have beyond the largest payload
)

// NoSuchEpoch stands for every epoch text that no engine gives: positions of it
// are of another history.
const NoSuchEpoch message.Epoch = 1<<64 - 1

// Limits bound what is accepted. The zero value is the default.
type Limits struct {
	MaxMessage int // session.max_message: bytes of a payload; default 64 KiB
}

func (l Limits) maxMessage() int {
	if l.MaxMessage > 0 {
		return l.MaxMessage
	}
	return 64 << 10
}

// A Command is what a client asks for. Only the fields of its op are set.
type Command struct {
	Op Op
	ID uint64 // 0 where there is none

	Channel channel.Name // subscribe, unsubscribe, publish, history

	// Who asks: connect; App and Token also auth.
	Token   string
	Auth    []Auth
	Session string
	Secret  string
	Client  string
	App     string
	Manual  bool // "ack":"manual": the application acknowledges

	// Where the client stands: Last in connect and ack, After in subscribe.
	// Epoch is NoSuchEpoch where the text was of another form, and 0 where there
	// was none; then all offsets are 0.
	Epoch    message.Epoch
	Last     []Mark
	After    message.Offset
	HasAfter bool

	// What is published. Data is JSON in the form of [Payload], or, if Binary,
	// bytes of the type ContentType.
	Data        []byte
	Binary      bool
	ContentType string
	Headers     []message.Header
	Key         string
	First       int64
	Prev        string

	// History: below Before (0: of all), at most Limit (0: DefaultHistory).
	Before message.Offset
	Limit  int
}

// An Auth is a further identity, for one application.
type Auth struct{ App, Token string }

// A Mark is how far a client has come on a channel.
type Mark struct {
	Channel channel.Name
	Offset  message.Offset
}

// Position returns where a subscribe starts. It says nothing without HasAfter.
func (c *Command) Position() message.Position {
	return message.Position{Epoch: c.Epoch, Offset: c.After}
}

// Message returns what a publish asks to be stored. The publisher is the
// caller's to fill in.
func (c *Command) Message() message.Message {
	return message.Message{
		Channel:     c.Channel,
		ContentType: c.ContentType,
		Headers:     c.Headers,
		Data:        c.Data,
		Key:         c.Key,
		First:       c.First,
		Predecessor: c.Prev,
	}
}

// ParseCommand reads one line of a client. With an error, the command's Op and
// ID are set where they could be read, so that the error can be a reply.
func ParseCommand(line []byte, limits Limits) (Command, *message.Error) {
	r := reader{limit: limits.maxMessage()}
	if err := scanObject(line, MaxDepth+1, r.member); err != nil {
		return Command{}, err
	}
	c := Command{Op: r.op()}
	if c.Op.Answered() {
		c.ID = r.integer("id", r.f.id, 1, MaxInteger)
	}
	if r.err == nil && len(line) > r.limit+CommandOverhead {
		r.fail(message.TooLarge, "the command has %d bytes; session.max_message allows %d and %d more", len(line), r.limit, CommandOverhead)
	}
	if r.err == nil {
		r.command(&c)
	}
	if r.err != nil {
		return Command{Op: c.Op, ID: c.ID}, r.err
	}
	return c, nil
}

// ParsePublish reads one line of POST /v1/publish: the fields of a publish
// without id and op.
func ParsePublish(line []byte, limits Limits) (Command, *message.Error) {
	r := reader{limit: limits.maxMessage()}
	if err := scanObject(line, MaxDepth+1, r.member); err != nil {
		return Command{}, err
	}
	c := Command{Op: OpPublish}
	if r.command(&c); r.err != nil {
		return Command{}, r.err
	}
	return c, nil
}

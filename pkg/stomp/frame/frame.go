package frame

import (
	"errors"
	"fmt"
)

// A Version of STOMP says how lines end and how headers are escaped.
type Version uint8

// The versions; None is that of a connection which has not agreed on one yet.
const (
	None Version = iota
	V10
	V11
	V12
)

// String returns the version as it stands on the wire.
func (v Version) String() string { return [...]string{"", "1.0", "1.1", "1.2"}[v] }

// A Command is the first line of a frame.
type Command string

// The commands of clients, and of servers.
const (
	Connect     Command = "CONNECT"
	Stomp       Command = "STOMP"
	Send        Command = "SEND"
	Subscribe   Command = "SUBSCRIBE"
	Unsubscribe Command = "UNSUBSCRIBE"
	Ack         Command = "ACK"
	Nack        Command = "NACK"
	Begin       Command = "BEGIN"
	Commit      Command = "COMMIT"
	Abort       Command = "ABORT"
	Disconnect  Command = "DISCONNECT"

	Connected Command = "CONNECTED"
	Message   Command = "MESSAGE"
	Receipt   Command = "RECEIPT"
	Error     Command = "ERROR"
)

// parseCommand returns the command without allocating; ok is false if there is none
// of that name. Commands are case-sensitive.
func parseCommand(line []byte) (c Command, ok bool) {
	switch Command(line) {
	case Connect:
		return Connect, true
	case Stomp:
		return Stomp, true
	case Send:
		return Send, true
	case Subscribe:
		return Subscribe, true
	case Unsubscribe:
		return Unsubscribe, true
	case Ack:
		return Ack, true
	case Nack:
		return Nack, true
	case Begin:
		return Begin, true
	case Commit:
		return Commit, true
	case Abort:
		return Abort, true
	case Disconnect:
		return Disconnect, true
	case Connected:
		return Connected, true
	case Message:
		return Message, true
	case Receipt:
		return Receipt, true
	case Error:
		return Error, true
	}
	return "", false
}

// mayHaveBody reports whether frames of this command may have a body.
func (c Command) mayHaveBody() bool { return c == Send || c == Message || c == Error }

// A Frame is one frame. What a decoder returns is valid until its next call, but
// for an Owned body.
type Frame struct {
	Command Command
	Headers []Header
	Body    []byte
	Owned   bool // Body belongs to whoever has the frame
}

// A Header is one name and value, unescaped.
type Header struct{ Name, Value []byte }

// Get returns the value of a header: of the first one where it is repeated. ok is
// false if there is none.
func (f *Frame) Get(name string) (value []byte, ok bool) {
	for i := range f.Headers {
		if string(f.Headers[i].Name) == name {
			return f.Headers[i].Value, true
		}
	}
	return nil, false
}

// Text returns the value of a header; empty if there is none.
func (f *Frame) Text(name string) string {
	v, _ := f.Get(name)
	return string(v)
}

// Limits bound what is taken in, before it is.
type Limits struct {
	Headers int // of a frame
	Line    int // bytes of one
	Head    int // bytes of all lines together; 0: what Headers and Line allow
	Body    int // bytes
}

func (l *Limits) head() int {
	if l.Head > 0 {
		return l.Head
	}
	return (l.Headers + 1) * (l.Line + 2)
}

// ErrMalformed and ErrTooLarge are the two kinds of what a decoder refuses. After
// either, nothing more of the stream can be read.
var (
	ErrMalformed = errors.New("malformed frame")
	ErrTooLarge  = errors.New("frame beyond a limit")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func tooLarge(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTooLarge, fmt.Sprintf(format, args...))
}

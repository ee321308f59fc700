package protocol

import (
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Kind says what a server's object is.
type Kind uint8

// The kinds of objects. The first group are replies.
const (
	KindOther     Kind = iota // of a later version: ignore it
	KindDone                  // done, without a result
	KindConnected             // Connected
	KindOffset                // to subscribe and publish: Offset, Epoch, Duplicate
	KindUser                  // to auth: User
	KindHistory               // Messages, Epoch, More
	KindError                 // Err; without Re it is a push

	KindMessage // Message, Redelivered
	KindAt      // Channel, Offset
	KindGap     // Channel, After, Offset, Reason
	KindRevoked // Channel, Err
	KindBye     // Code, Retry
	KindPing
	KindPong
)

// An Object is what a server sends. Only the fields of its kind are set.
type Object struct {
	Kind Kind
	Re   uint64 // the id of the command that is answered; 0 in pushes and over HTTP

	Err       *message.Error
	Connected *Connected
	Epoch     message.Epoch
	Duplicate bool
	User      string
	Messages  []message.Message
	More      bool

	Message     message.Message
	Redelivered bool

	Channel channel.Name
	After   message.Offset
	Offset  message.Offset // of the reply; At; To of a gap
	Reason  string

	Code  message.Code
	Retry time.Duration // 0: do not come back
}

// maxObjectDepth leaves room for what a history wraps around a payload.
const maxObjectDepth = MaxDepth + 4

// Parse reads one line of a server.
func Parse(line []byte) (Object, error) {
	var f objectFields
	if err := scanObject(line, maxObjectDepth, f.member); err != nil {
		return Object{}, err
	}
	d := decoder{}
	o := d.object(&f)
	if d.err != nil {
		return Object{}, d.err
	}
	return o, nil
}

// objectFields are the members of an object as they stand on the line; nil is
// absent.
type objectFields struct {
	re, err, op, bye                           []byte
	session, secret, resumed, epoch, now, user []byte
	subs, ttl, ping, window, max               []byte
	offset, duplicate, messages, more          []byte
	ch, o, p, t, by, d, b, ct, h, r            []byte
	at, gap, revoked                           []byte
}

func (f *objectFields) member(key, value []byte) {
	if slot := f.slot(key); slot != nil {
		*slot = value
	}
}

func (f *objectFields) slot(key []byte) *[]byte {
	switch string(key) {
	case "ch":
		return &f.ch
	case "o":
		return &f.o
	case "p":
		return &f.p
	case "t":
		return &f.t
	case "by":
		return &f.by
	case "d":
		return &f.d
	case "b":
		return &f.b
	case "ct":
		return &f.ct
	case "h":
		return &f.h
	case "r":
		return &f.r
	case "at":
		return &f.at
	case "gap":
		return &f.gap
	case "revoked":
		return &f.revoked
	case "bye":
		return &f.bye
	case "op":
		return &f.op
	}
	return f.replySlot(key)
}

func (f *objectFields) replySlot(key []byte) *[]byte {
	switch string(key) {
	case "re":
		return &f.re
	case "error":
		return &f.err
	case "session":
		return &f.session
	case "secret":
		return &f.secret
	case "resumed":
		return &f.resumed
	case "epoch":
		return &f.epoch
	case "now":
		return &f.now
	case "user":
		return &f.user
	case "subs":
		return &f.subs
	case "ttl":
		return &f.ttl
	case "ping":
		return &f.ping
	case "window":
		return &f.window
	case "max":
		return &f.max
	case "offset":
		return &f.offset
	case "duplicate":
		return &f.duplicate
	case "messages":
		return &f.messages
	case "more":
		return &f.more
	}
	return nil
}

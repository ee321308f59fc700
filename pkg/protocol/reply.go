package protocol

import (
	"strconv"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Connected answers a connect.
type Connected struct {
	Session string
	Secret  string
	Resumed bool
	Epoch   message.Epoch
	Now     int64  // the server's clock: Unix milliseconds
	User    string // canonical; empty for anonymous
	Subs    []Sub
	TTL     time.Duration // whole seconds on the wire, as is Ping
	Ping    time.Duration
	Window  int
	Max     int
}

// A Sub is what became of one subscription of the session.
type Sub struct {
	Channel channel.Name
	Offset  message.Offset
	Err     *message.Error
}

// AppendConnected appends the answer to a connect.
func AppendConnected(dst []byte, id uint64, c *Connected) []byte {
	dst = appendRe(dst, id)
	dst = appendText(appendKey(dst, "session"), c.Session)
	dst = appendText(appendKey(dst, "secret"), c.Secret)
	dst = strconv.AppendBool(appendKey(dst, "resumed"), c.Resumed)
	dst = appendEpoch(appendKey(dst, "epoch"), c.Epoch)
	dst = strconv.AppendInt(appendKey(dst, "now"), c.Now, 10)
	dst = appendTextField(dst, `,"user":`, c.User)
	dst = appendSubs(appendKey(dst, "subs"), c.Subs)
	dst = strconv.AppendInt(appendKey(dst, "ttl"), int64(c.TTL/time.Second), 10)
	dst = strconv.AppendInt(appendKey(dst, "ping"), int64(c.Ping/time.Second), 10)
	dst = strconv.AppendInt(appendKey(dst, "window"), int64(c.Window), 10)
	dst = strconv.AppendInt(appendKey(dst, "max"), int64(c.Max), 10)
	return append(dst, '}')
}

func appendSubs(dst []byte, subs []Sub) []byte {
	dst = append(dst, '{')
	for i := range subs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, string(subs[i].Channel))
		if e := subs[i].Err; e != nil {
			dst = appendError(append(dst, `:{"error":`...), e)
		} else {
			dst = appendUint(append(dst, `:{"offset":`...), subs[i].Offset)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendRe begins an answer, without re if id is 0: over HTTP the call itself
// says what is answered.
func appendRe(dst []byte, id uint64) []byte {
	if id == 0 {
		return append(dst, '{')
	}
	return appendUint(append(dst, `{"re":`...), id)
}

// appendKey appends the key of the next member.
func appendKey(dst []byte, key string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, key...)
	return append(dst, `":`...)
}

// AppendSubscribed appends the answer to a subscribe.
func AppendSubscribed(dst []byte, id uint64, offset message.Offset, epoch message.Epoch) []byte {
	return AppendPublished(dst, id, offset, epoch, false)
}

// AppendPublished appends the answer to a publish; without re if id is 0.
func AppendPublished(dst []byte, id uint64, offset message.Offset, epoch message.Epoch, duplicate bool) []byte {
	dst = appendRe(dst, id)
	dst = appendUint(appendKey(dst, "offset"), offset)
	dst = appendEpoch(appendKey(dst, "epoch"), epoch)
	if duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	return append(dst, '}')
}

// AppendDone appends the answer to what has no result, such as unsubscribe.
func AppendDone(dst []byte, id uint64) []byte {
	dst = appendRe(dst, id)
	return append(dst, '}')
}

// AppendAuthenticated appends the answer to an auth.
func AppendAuthenticated(dst []byte, id uint64, user string) []byte {
	dst = appendRe(dst, id)
	return append(appendText(appendKey(dst, "user"), user), '}')
}

// AppendError appends the answer to what was refused. Without an id it is a
// push over a connection, and the body over HTTP.
func AppendError(dst []byte, id uint64, e *message.Error) []byte {
	dst = appendRe(dst, id)
	return append(appendError(appendKey(dst, "error"), e), '}')
}

// AppendHistory appends the answer to a history; without re if id is 0.
func AppendHistory(dst []byte, id uint64, epoch message.Epoch, messages []message.Message, more bool) []byte {
	dst = appendRe(dst, id)
	dst = appendEpoch(appendKey(dst, "epoch"), epoch)
	dst = append(appendKey(dst, "messages"), '[')
	for i := range messages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendMessage(dst, &messages[i], false)
	}
	dst = append(dst, ']')
	if more {
		dst = append(dst, `,"more":true`...)
	}
	return append(dst, '}')
}

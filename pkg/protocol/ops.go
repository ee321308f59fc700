package protocol

import (
	"strings"

	"github.com/orbitd/orbitd/pkg/message"
)

func (r *reader) command(c *Command) {
	switch c.Op {
	case OpConnect:
		r.connect(c)
	case OpSubscribe:
		r.subscribe(c)
	case OpUnsubscribe:
		c.Channel = r.channel()
	case OpPublish:
		r.publish(c)
	case OpHistory:
		c.Channel = r.channel()
		c.Before = message.Offset(r.optional("before", r.f.before, 0, MaxInteger))
		c.Limit = int(r.optional("limit", r.f.limit, 1, MaxHistory))
	case OpAuth:
		c.App = r.app(r.required("app", r.f.app))
		c.Token = r.required("token", r.f.token)
	case OpAck:
		if r.f.last == nil {
			r.fail(message.BadRequest, `"last" is missing`)
		}
		c.Last = r.last()
	}
}

func (r *reader) connect(c *Command) {
	c.Token = r.text("token", r.f.token)
	c.Auth = r.auth()
	c.Session = r.text("session", r.f.session)
	c.Secret = r.text("secret", r.f.secret)
	if c.Session != "" && c.Secret == "" {
		r.fail(message.BadRequest, `"session" needs its "secret"`)
	}
	c.Client = r.client()
	switch mode := r.text("ack", r.f.ack); {
	case mode == "manual":
		c.Manual = true
	case mode != "auto" && r.f.ack != nil:
		r.fail(message.BadRequest, `"ack" is "auto" or "manual"`)
	}
	c.Epoch = r.epoch()
	c.Last = r.last()
	for _, mark := range c.Last {
		r.checkPosition(c.Epoch, mark.Offset)
	}
}

func (r *reader) subscribe(c *Command) {
	c.Channel = r.channel()
	c.HasAfter = r.f.after != nil
	c.After = message.Offset(r.optional("after", r.f.after, 0, MaxInteger))
	c.Epoch = r.epoch()
	r.checkPosition(c.Epoch, c.After)
}

func (r *reader) checkPosition(e message.Epoch, o message.Offset) {
	if o != 0 && e == 0 {
		r.fail(message.BadRequest, `an offset needs its "epoch"`)
	}
}

func (r *reader) publish(c *Command) {
	c.Channel = r.channel()
	r.payload(c)
	c.Headers = r.headers()
	c.Key = r.key("key", r.f.key)
	c.Prev = r.key("prev", r.f.prev)
	if c.Prev != "" && c.Key == "" {
		r.fail(message.BadRequest, `"prev" needs a "key"`)
	}
	c.First = int64(r.optional("first", r.f.first, 0, MaxInteger))
}

func (r *reader) payload(c *Command) {
	switch {
	case r.f.data != nil && r.f.binary != nil:
		r.fail(message.BadRequest, `"data" and "b" exclude each other`)
	case r.f.data != nil && r.f.contentType != nil:
		r.fail(message.BadRequest, `"ct" belongs to "b"; "data" is JSON`)
	case r.f.data != nil:
		c.Data = appendCompact(make([]byte, 0, len(r.f.data)), r.f.data)
	case r.f.binary != nil:
		r.binary(c)
	default:
		r.fail(message.BadRequest, `"data" is missing`)
	}
	if len(c.Data) > r.limit {
		r.fail(message.TooLarge, "the payload has %d bytes; session.max_message allows %d", len(c.Data), r.limit)
	}
}

func (r *reader) binary(c *Command) {
	data, ok := decodeBase64(r.f.binary)
	if !ok {
		r.fail(message.BadRequest, `"b" is not base64`)
	}
	c.Data, c.Binary = data, true
	c.ContentType = r.required("ct", r.f.contentType)
	if !ValidContentType(c.ContentType) {
		r.fail(message.BadRequest, `"ct" is not a media type`)
	}
}

// ValidContentType reports whether s can travel as ct: printable ASCII with a
// slash, at most MaxContentType bytes.
func ValidContentType(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(s) <= MaxContentType && strings.Contains(s, "/")
}

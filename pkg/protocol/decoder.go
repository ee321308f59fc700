package protocol

import (
	"fmt"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// A decoder turns the raw fields of a server's object into values. The first
// failure is kept.
type decoder struct{ err error }

func (d *decoder) fail(name string) {
	if d.err == nil {
		d.err = fmt.Errorf("the server's object has a wrong %q", name)
	}
}

// object decodes by what is there: pushes have a channel, bye or op, replies re.
func (d *decoder) object(f *objectFields) Object {
	switch {
	case f.ch != nil:
		return d.channelPush(f)
	case f.bye != nil:
		return d.bye(f.bye)
	case f.op != nil:
		return d.liveness(f.op)
	}
	return d.reply(f)
}

func (d *decoder) channelPush(f *objectFields) Object {
	switch {
	case f.o != nil:
		return Object{Kind: KindMessage, Message: d.message(f), Redelivered: d.flag("r", f.r)}
	case f.at != nil:
		return Object{Kind: KindAt, Channel: d.channel("ch", f.ch), Offset: d.offset("at", f.at)}
	case f.gap != nil:
		return d.gap(f)
	case f.revoked != nil:
		return Object{Kind: KindRevoked, Channel: d.channel("ch", f.ch), Err: d.error("revoked", f.revoked)}
	}
	return Object{}
}

func (d *decoder) message(f *objectFields) message.Message {
	m := message.Message{
		Channel:   d.channel("ch", f.ch),
		Publisher: d.text("by", f.by),
		Offset:    d.offset("o", f.o),
		Previous:  d.offset("p", f.p),
		Time:      int64(d.integer("t", f.t)),
	}
	switch {
	case f.d != nil:
		m.Data = appendCompact(make([]byte, 0, len(f.d)), f.d)
	case f.b != nil:
		var ok bool
		m.Data, ok = decodeBase64(f.b)
		m.ContentType = d.text("ct", f.ct)
		if !ok || m.ContentType == "" {
			d.fail("b")
		}
	default:
		d.fail("d")
	}
	if f.h != nil {
		var ok bool
		if m.Headers, ok = decodeHeaders(f.h); !ok {
			d.fail("h")
		}
	}
	return m
}

func (d *decoder) gap(f *objectFields) Object {
	o := Object{Kind: KindGap, Channel: d.channel("ch", f.ch)}
	var after, to []byte
	d.members("gap", f.gap, func(key, value []byte) {
		switch string(key) {
		case "after":
			after = value
		case "to":
			to = value
		case "reason":
			o.Reason = d.text("reason", value)
		}
	})
	o.After, o.Offset = d.offset("after", after), d.offset("to", to)
	return o
}

func (d *decoder) bye(raw []byte) Object {
	o := Object{Kind: KindBye}
	d.members("bye", raw, func(key, value []byte) {
		switch string(key) {
		case "code":
			o.Code = message.Code(d.text("code", value))
		case "retry":
			o.Retry = d.duration("retry", value, time.Millisecond)
		}
	})
	return o
}

func (d *decoder) liveness(op []byte) Object {
	switch d.text("op", op) {
	case "ping":
		return Object{Kind: KindPing}
	case "pong":
		return Object{Kind: KindPong}
	}
	return Object{}
}

func (d *decoder) reply(f *objectFields) Object {
	o := Object{}
	if f.re != nil {
		o.Re = d.integer("re", f.re)
	}
	switch {
	case f.err != nil:
		o.Kind, o.Err = KindError, d.error("error", f.err)
	case f.session != nil:
		o.Kind, o.Connected = KindConnected, d.connected(f)
	case f.messages != nil:
		o.Kind, o.Messages = KindHistory, d.messages(f.messages)
		o.Epoch, o.More = d.epoch(f.epoch), d.flag("more", f.more)
	case f.offset != nil:
		o.Kind, o.Offset = KindOffset, d.offset("offset", f.offset)
		o.Epoch, o.Duplicate = d.epoch(f.epoch), d.flag("duplicate", f.duplicate)
	case f.user != nil:
		o.Kind, o.User = KindUser, d.text("user", f.user)
	case o.Re != 0:
		o.Kind = KindDone
	}
	return o
}

func (d *decoder) connected(f *objectFields) *Connected {
	return &Connected{
		Session: d.text("session", f.session),
		Secret:  d.text("secret", f.secret),
		Resumed: d.flag("resumed", f.resumed),
		Epoch:   d.epoch(f.epoch),
		Now:     int64(d.integer("now", f.now)),
		User:    d.text("user", f.user),
		Subs:    d.subs(f.subs),
		TTL:     d.duration("ttl", f.ttl, time.Second),
		Ping:    d.duration("ping", f.ping, time.Second),
		Window:  int(d.integer("window", f.window)),
		Max:     int(d.integer("max", f.max)),
	}
}

func (d *decoder) subs(raw []byte) []Sub {
	var subs []Sub
	d.members("subs", raw, func(key, value []byte) {
		sub := Sub{Channel: channel.Name(key)}
		d.members("subs", value, func(key, value []byte) {
			switch string(key) {
			case "offset":
				sub.Offset = d.offset("offset", value)
			case "error":
				sub.Err = d.error("error", value)
			}
		})
		subs = append(subs, sub)
	})
	return subs
}

func (d *decoder) messages(raw []byte) []message.Message {
	messages := []message.Message{}
	s := scanner{b: raw, depth: maxObjectDepth}
	ok := s.array(func(value []byte) {
		var f objectFields
		d.members("messages", value, f.member)
		messages = append(messages, d.message(&f))
	})
	if !ok {
		d.fail("messages")
	}
	return messages
}

func (d *decoder) error(name string, raw []byte) *message.Error {
	e := &message.Error{}
	d.members(name, raw, func(key, value []byte) {
		switch string(key) {
		case "code":
			e.Code = message.Code(d.text("code", value))
		case "message":
			e.Text = d.text("message", value)
		}
	})
	if e.Code == "" {
		d.fail(name)
	}
	return e
}

// members hands over the members of a raw value that must be an object.
func (d *decoder) members(name string, raw []byte, member func(key, value []byte)) {
	s := scanner{b: raw, depth: maxObjectDepth}
	if !s.object(member) {
		d.fail(name)
	}
}

// text returns a text, empty if it is absent.
func (d *decoder) text(name string, raw []byte) string {
	if raw == nil {
		return ""
	}
	s, ok := decodeText(raw)
	if !ok {
		d.fail(name)
	}
	return s
}

func (d *decoder) channel(name string, raw []byte) channel.Name {
	return channel.Name(d.text(name, raw))
}

func (d *decoder) integer(name string, raw []byte) uint64 {
	n, ok := decodeInteger(raw)
	if !ok {
		d.fail(name)
	}
	return n
}

func (d *decoder) offset(name string, raw []byte) message.Offset {
	return message.Offset(d.integer(name, raw))
}

func (d *decoder) duration(name string, raw []byte, unit time.Duration) time.Duration {
	n := d.integer(name, raw)
	if n > uint64((1<<63-1)/unit) {
		d.fail(name)
		return 0
	}
	return time.Duration(n) * unit
}

// flag returns false for what is absent.
func (d *decoder) flag(name string, raw []byte) bool {
	if raw == nil {
		return false
	}
	value, ok := decodeBool(raw)
	if !ok {
		d.fail(name)
	}
	return value
}

func (d *decoder) epoch(raw []byte) message.Epoch {
	e, err := message.ParseEpoch(d.text("epoch", raw))
	if err != nil {
		d.fail("epoch")
	}
	return e
}

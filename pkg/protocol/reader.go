package protocol

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// rawFields are the members of a command as they stand on the line; nil is
// absent. Where one occurs twice, the last is kept.
type rawFields struct {
	id, op, channel                           []byte
	token, auth, session, secret, client, app []byte
	ack, epoch, last, after                   []byte
	data, binary, contentType, headers        []byte
	key, first, prev                          []byte
	before, limit                             []byte
}

// A reader decodes the fields of one command. Fields of other ops are not
// looked at: to this op they are unknown, and unknown fields are ignored. The
// first failure is kept.
type reader struct {
	f     rawFields
	limit int // bytes of the largest payload
	err   *message.Error
}

func (r *reader) member(key, value []byte) {
	if slot := r.f.slot(key); slot != nil {
		*slot = value
	}
}

func (f *rawFields) slot(key []byte) *[]byte {
	switch string(key) {
	case "id":
		return &f.id
	case "op":
		return &f.op
	case "channel":
		return &f.channel
	case "data":
		return &f.data
	case "key":
		return &f.key
	case "first":
		return &f.first
	case "prev":
		return &f.prev
	case "last":
		return &f.last
	case "epoch":
		return &f.epoch
	case "after":
		return &f.after
	case "b":
		return &f.binary
	case "ct":
		return &f.contentType
	case "h":
		return &f.headers
	}
	return f.rareSlot(key)
}

func (f *rawFields) rareSlot(key []byte) *[]byte {
	switch string(key) {
	case "token":
		return &f.token
	case "auth":
		return &f.auth
	case "session":
		return &f.session
	case "secret":
		return &f.secret
	case "client":
		return &f.client
	case "app":
		return &f.app
	case "ack":
		return &f.ack
	case "before":
		return &f.before
	case "limit":
		return &f.limit
	}
	return nil
}

func (r *reader) fail(code message.Code, format string, args ...any) {
	if r.err == nil {
		r.err = message.Errorf(code, format, args...)
	}
}

// op returns the command's op. What is unknown counts as one that is answered.
func (r *reader) op() Op {
	if r.f.op == nil {
		r.fail(message.BadRequest, `"op" is missing`)
		return ""
	}
	for _, op := range [...]Op{OpPublish, OpAck, OpPong, OpPing, OpSubscribe, OpUnsubscribe, OpConnect, OpHistory, OpAuth} {
		if isText(r.f.op, string(op)) {
			return op
		}
	}
	if name, ok := decodeText(r.f.op); ok {
		r.fail(message.BadRequest, "%.40q is not an op of orbit.v1; they are connect, subscribe, unsubscribe, publish, history, auth, ack, ping and pong", name)
	} else {
		r.fail(message.BadRequest, `"op" is not a text`)
	}
	return ""
}

// text returns an optional text.
func (r *reader) text(name string, raw []byte) string {
	if raw == nil {
		return ""
	}
	s, ok := decodeText(raw)
	if !ok {
		r.fail(message.BadRequest, "%q is not a text", name)
	}
	return s
}

// required returns a text that must be there and not be empty.
func (r *reader) required(name string, raw []byte) string {
	s := r.text(name, raw)
	if s == "" {
		r.fail(message.BadRequest, "%q is missing", name)
	}
	return s
}

func (r *reader) integer(name string, raw []byte, least, most uint64) uint64 {
	if raw == nil {
		r.fail(message.BadRequest, "%q is missing", name)
		return 0
	}
	n, ok := decodeInteger(raw)
	if !ok || n < least || n > most {
		r.fail(message.BadRequest, "%q is not an integer from %d to %d", name, least, most)
		return 0
	}
	return n
}

// optional returns an integer, or 0 where there is none.
func (r *reader) optional(name string, raw []byte, least, most uint64) uint64 {
	if raw == nil {
		return 0
	}
	return r.integer(name, raw, least, most)
}

func (r *reader) channel() channel.Name {
	name, err := channel.Parse(r.required("channel", r.f.channel))
	if err != nil {
		r.fail(message.UnknownChannel, "%v", err)
	}
	return name
}

// epoch returns the epoch, NoSuchEpoch for a text of any other form, and 0 if
// there is none.
func (r *reader) epoch() message.Epoch {
	s := r.text("epoch", r.f.epoch)
	if s == "" {
		return 0
	}
	e, err := message.ParseEpoch(s)
	if err != nil || e == 0 {
		return NoSuchEpoch
	}
	return e
}

// client returns the name of a durable session: one segment of a channel.
func (r *reader) client() string {
	if r.f.client == nil {
		return ""
	}
	name := r.text("client", r.f.client)
	if len(name) > MaxClient || !isSegment(name) {
		r.fail(message.BadRequest, `"client" is not 1 to %d characters of a channel's alphabet`, MaxClient)
	}
	return name
}

func (r *reader) app(name string) string {
	if !isSegment(name) {
		r.fail(message.BadRequest, `"app" is not the first segment of a channel`)
	}
	return name
}

func isSegment(s string) bool {
	name, err := channel.Parse("/" + s)
	return err == nil && name.App() == s && !name.Reserved()
}

func (r *reader) key(name string, raw []byte) string {
	key := r.text(name, raw)
	if raw != nil && (key == "" || len(key) > MaxKey) {
		r.fail(message.BadRequest, "%q has %d bytes; 1 to %d are allowed", name, len(key), MaxKey)
	}
	return key
}

// last returns the marks of "last". Of those that name one channel the last
// counts.
func (r *reader) last() []Mark {
	if r.f.last == nil {
		return nil
	}
	var marks []Mark
	r.object("last", r.f.last, func(key, value []byte) {
		name, err := channel.Parse(string(key))
		if err != nil {
			r.fail(message.UnknownChannel, "%v", err)
		}
		marks = append(marks, Mark{name, message.Offset(r.integer(string(name), value, 0, MaxInteger))})
	})
	return lastMarks(marks)
}

// lastMarks drops, in place, all marks of a channel but the last.
func lastMarks(marks []Mark) []Mark {
	if len(marks) < 2 {
		return marks
	}
	at := make(map[channel.Name]int, len(marks))
	kept := marks[:0]
	for _, mark := range marks {
		if i, again := at[mark.Channel]; again {
			kept[i] = mark
			continue
		}
		at[mark.Channel] = len(kept)
		kept = append(kept, mark)
	}
	return kept
}

func (r *reader) headers() []message.Header {
	if r.f.headers == nil {
		return nil
	}
	headers, ok := decodeHeaders(r.f.headers)
	if !ok {
		r.fail(message.BadRequest, `"h" is not an object of texts`)
	}
	size := 0
	for _, h := range headers {
		size += len(h.Name) + len(h.Value)
	}
	if len(headers) > MaxHeaders || size > MaxHeaderBytes {
		r.fail(message.TooLarge, "%d headers with %d bytes; %d with %d are allowed", len(headers), size, MaxHeaders, MaxHeaderBytes)
	}
	return headers
}

// auth returns the identities of single applications. Of those for one application the
// last counts.
func (r *reader) auth() []Auth {
	if r.f.auth == nil {
		return nil
	}
	var list []Auth
	s := scanner{b: r.f.auth, depth: MaxDepth}
	ok := s.array(func(value []byte) {
		var app, token []byte
		r.object("auth", value, func(key, value []byte) {
			switch string(key) {
			case "app":
				app = value
			case "token":
				token = value
			}
		})
		one := Auth{r.app(r.required("app", app)), r.required("token", token)}
		switch i := slices.IndexFunc(list, func(a Auth) bool { return a.App == one.App }); {
		case i >= 0:
			list[i] = one
		case len(list) == MaxAuth:
			r.fail(message.TooLarge, `"auth" has identities for more than %d applications`, MaxAuth)
		default:
			list = append(list, one)
		}
	})
	if !ok {
		r.fail(message.BadRequest, `"auth" is not an array`)
	}
	return list
}

// object hands over the members of a raw value that must be an object.
func (r *reader) object(name string, raw []byte, member func(key, value []byte)) {
	s := scanner{b: raw, depth: MaxDepth}
	if !s.object(member) {
		r.fail(message.BadRequest, "%q is not an object", name)
	}
}

// decodeHeaders reads texts by name, in their order. Of two with one name the
// last counts.
func decodeHeaders(raw []byte) ([]message.Header, bool) {
	var headers []message.Header
	good := true
	s := scanner{b: raw, depth: MaxDepth}
	ok := s.object(func(key, value []byte) {
		text, isText := decodeText(value)
		good = good && isText && len(key) > 0
		for i := range headers[:min(len(headers), MaxHeaders)] {
			if headers[i].Name == string(key) {
				headers[i].Value = text
				return
			}
		}
		headers = append(headers, message.Header{Name: string(key), Value: text})
	})
	return headers, ok && good
}

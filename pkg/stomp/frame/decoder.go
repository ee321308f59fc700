package frame

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A Decoder cuts one peer's stream of bytes into frames. It takes in what it is
// given, and keeps what is not a whole frame: a head it has not seen the end of,
// then a body. Where a frame is whole in what Next is given, it is not copied.
//
// Version and Limits may be changed between two frames.
type Decoder struct {
	Version Version
	Limits  Limits
	// Room is where the headers of a frame stand for as long as it is valid. Decoders
	// whose frames are used one after the other may share it; nil: it has its own.
	Room *[]Header

	stage stage
	head  []byte // begun, or that of a body that is not complete
	lines int    // complete ones in the head
	line  int    // bytes of the line that is not
	total int    // bytes of the head

	frame  Frame
	body   []byte // begun
	length int    // of the body; -1: up to the first NUL
}

type stage uint8

const (
	between stage = iota // end-of-lines may come: heart-beats
	inHead
	inBody
	atEnd // a body of known length is complete but for the NUL
	broken
)

// Partial reports whether a frame has begun and is not complete.
func (d *Decoder) Partial() bool { return d.stage != between }

// Promised returns how many bytes the body of the current frame is to have, by what its head
// says; 0 where it does not say so, and where there is no frame of which the head is complete.
func (d *Decoder) Promised() int {
	if d.stage != inBody {
		return 0
	}
	return max(d.length, 0)
}

// Next takes in bytes from b, which may be changed in place, up to the end of one
// frame. It returns how many it took, and the frame; nil where b ended before it.
func (d *Decoder) Next(b []byte) (f *Frame, n int, err error) {
	for n < len(b) && f == nil && err == nil {
		var took int
		switch d.stage {
		case between:
			took, err = d.skip(b[n:])
		case inHead:
			took, err = d.readHead(b[n:])
			if err == nil && d.stage != inHead {
				f, took, err = d.begin(b[n:], took)
			}
		case inBody, atEnd:
			f, took, err = d.readBody(b[n:])
		case broken:
			err = malformed("the stream was given up")
		}
		n += took
	}
	if err != nil {
		d.stage = broken
	}
	return f, n, err
}

// skip takes in what stands between frames.
func (d *Decoder) skip(b []byte) (n int, err error) {
	for n < len(b) {
		switch {
		case b[n] == '\n':
		case b[n] == '\r' && d.carriage(): // its line feed may be still to come
		default:
			d.stage, d.head, d.lines, d.line, d.total = inHead, nil, 0, 0, 0
			return n, nil
		}
		n++
	}
	return n, nil
}

// carriage reports whether a line may end with CR LF. A peer of 1.2 may write its
// CONNECT so.
func (d *Decoder) carriage() bool { return d.Version == V12 || d.Version == None }

// readHead takes in whole lines up to the blank one, and what there is of the next.
// It keeps none of them: begin does. The stage is inBody when the head is complete.
func (d *Decoder) readHead(b []byte) (n int, err error) {
	for n < len(b) {
		i := bytes.IndexByte(b[n:], '\n')
		part := b[n:]
		if i >= 0 {
			part = b[n : n+i]
		}
		if bytes.IndexByte(part, 0) >= 0 {
			return n, malformed("a NUL before the end of the headers")
		}
		d.line += len(part)
		d.total += len(part)
		n += len(part)
		if err := d.bounded(); err != nil {
			return n, err
		}
		if i < 0 {
			break
		}
		n++
		d.total++
		blank := d.line == 0 || d.line == 1 && d.carriage() && d.lastByte(b[:n-1]) == '\r'
		d.line = 0
		if blank {
			d.stage = inBody
			return n, nil
		}
		d.lines++
		if d.lines > d.Limits.Headers+1 {
			return n, tooLarge("a frame may have %d headers", d.Limits.Headers)
		}
	}
	d.head = append(d.head, b[:n]...)
	return n, nil
}

// lastByte returns the head's last byte, where b is what was taken in of it just
// now.
func (d *Decoder) lastByte(b []byte) byte {
	if len(b) > 0 {
		return b[len(b)-1]
	}
	return d.head[len(d.head)-1]
}

func (d *Decoder) bounded() error {
	switch {
	case d.line > d.Limits.Line:
		return tooLarge("a line may have %d bytes", d.Limits.Line)
	case d.total > d.Limits.head():
		return tooLarge("the headers may have %d bytes together", d.Limits.head())
	}
	return nil
}

// begin reads the head, whose last part is the first n bytes of b, and the body
// as far as that is in b.
func (d *Decoder) begin(b []byte, n int) (f *Frame, took int, err error) {
	head := b[:n]
	owned := d.head != nil
	if owned {
		d.head = append(d.head, head...)
		head = d.head
	}
	if err := d.parse(head); err != nil {
		return nil, n, err
	}
	if d.length, err = d.bodyLength(); err != nil {
		return nil, n, err
	}
	d.body = nil
	if body, end, ok := d.whole(b[n:]); ok {
		return d.finish(body, false), n + end, nil
	}
	d.frame.Headers = slices.Clone(d.frame.Headers)
	if !owned { // the body's end comes with other bytes: keep the head
		d.keep(head)
	}
	f, took, err = d.readBody(b[n:])
	return f, n + took, err
}

// whole returns the body if all of it is in b, its NUL included.
func (d *Decoder) whole(b []byte) (body []byte, end int, ok bool) {
	switch n := d.length; {
	case n < 0:
		i := bytes.IndexByte(b, 0)
		return b[:max(i, 0)], i + 1, i >= 0 && i <= d.Limits.Body && (i == 0 || d.frame.Command.mayHaveBody())
	case n < len(b):
		return b[:n], n + 1, b[n] == 0
	}
	return nil, 0, false
}

// keep has the headers stand in memory of their own.
func (d *Decoder) keep(head []byte) {
	d.head = make([]byte, 0, len(head))
	own := func(b []byte) []byte {
		start := len(d.head)
		d.head = append(d.head, b...)
		return d.head[start:len(d.head):len(d.head)]
	}
	for i := range d.frame.Headers {
		h := &d.frame.Headers[i]
		h.Name, h.Value = own(h.Name), own(h.Value)
	}
}

// readBody takes in what there is of a body.
func (d *Decoder) readBody(b []byte) (f *Frame, n int, err error) {
	if d.length < 0 {
		return d.readToNUL(b)
	}
	n = min(d.length-len(d.body), len(b))
	d.body = grow(d.body, b[:n], d.length)
	if len(d.body) < d.length || n == len(b) {
		return nil, n, nil
	}
	if b[n] != 0 {
		return nil, n, malformed("no NUL behind the %d bytes of content-length", d.length)
	}
	return d.finish(d.body, true), n + 1, nil
}

func (d *Decoder) readToNUL(b []byte) (f *Frame, n int, err error) {
	n = bytes.IndexByte(b, 0)
	part := b
	if n >= 0 {
		part = b[:n]
	}
	switch {
	case len(part) > 0 && !d.frame.Command.mayHaveBody() && d.Version != V10:
		return nil, 0, malformed("%s has no body", d.frame.Command)
	case len(d.body)+len(part) > d.Limits.Body:
		return nil, 0, tooLarge("a body may have %d bytes", d.Limits.Body)
	}
	d.body = grow(d.body, part, d.Limits.Body)
	if n < 0 {
		return nil, len(b), nil
	}
	return d.finish(d.body, true), n + 1, nil
}

// grow appends to a body that will have at most limit bytes. It doubles, so that
// who announces a large body has to send it before it takes memory.
func grow(body, more []byte, limit int) []byte {
	if need := len(body) + len(more); need > cap(body) {
		body = slices.Grow(body, min(max(need, 2*cap(body)), limit)-len(body))
	}
	return append(body, more...)
}

func (d *Decoder) finish(body []byte, owned bool) *Frame {
	d.stage, d.body, d.head = between, nil, nil
	d.frame.Body, d.frame.Owned = body, owned
	return &d.frame
}

// bodyLength returns what content-length says; -1 where there is none.
func (d *Decoder) bodyLength() (int, error) {
	text, ok := d.frame.Get("content-length")
	if !ok {
		return -1, nil
	}
	n, err := strconv.ParseUint(string(text), 10, 63)
	switch {
	case err != nil && len(text) < 19 || len(text) == 0 || text[0] == '+':
		return 0, malformed("content-length %q is no number", text)
	case err != nil || n > uint64(min(d.Limits.Body, math.MaxInt)):
		return 0, tooLarge("a body may have %d bytes", d.Limits.Body)
	case n > 0 && !d.frame.Command.mayHaveBody() && d.Version != V10:
		return 0, malformed("%s has no body", d.frame.Command)
	}
	return int(n), nil
}

// parse reads a complete head, and unescapes it in place.
func (d *Decoder) parse(head []byte) error {
	f := &d.frame
	if d.Room == nil {
		d.Room = new([]Header)
	}
	clear(*d.Room)
	f.Headers, f.Body = (*d.Room)[:0], nil
	line, rest := d.cutLine(head)
	var ok bool
	if f.Command, ok = parseCommand(line); !ok {
		return malformed("there is no command %.40q", line)
	}
	for {
		if line, rest = d.cutLine(rest); len(line) == 0 {
			break
		}
		i := bytes.IndexByte(line, ':')
		if i <= 0 {
			return malformed("the header %.40q is not name:value", line)
		}
		f.Headers = append(f.Headers, Header{line[:i], line[i+1:]})
	}
	*d.Room = f.Headers
	return d.translate()
}

// translate makes of headers what they mean in the version.
func (d *Decoder) translate() error {
	f := &d.frame
	version := d.Version
	if f.Command == Connect || f.Command == Stomp || f.Command == Connected {
		version = None // not escaped, so that 1.0 can read them
		if _, ok := f.Get("accept-version"); !ok && f.Command != Connected {
			version = V10
		}
	}
	for i := range f.Headers {
		h := &f.Headers[i]
		var ok1, ok2 bool
		h.Name, ok1 = unescape(h.Name, version)
		h.Value, ok2 = unescape(h.Value, version)
		if !ok1 || !ok2 {
			return malformed("an escape of the header %.40q is not one of STOMP %s", h.Name, version)
		}
		if !utf8.Valid(h.Name) || !utf8.Valid(h.Value) {
			return malformed("the header %.40q is not UTF-8", h.Name)
		}
		if len(h.Name) == 0 {
			return malformed("a header has no name")
		}
	}
	return nil
}

// cutLine returns the first line without its end, and what follows.
func (d *Decoder) cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n') // a head ends with one
	line, rest = b[:i], b[i+1:]
	if n := len(line); n > 0 && line[n-1] == '\r' && d.carriage() {
		line = line[:n-1]
	}
	return line, rest
}

// unescape undoes a version's escapes in place. In 1.0 there are none, and clients
// pad with spaces.
func unescape(b []byte, v Version) (plain []byte, ok bool) {
	switch v {
	case None:
		return b, true
	case V10:
		return bytes.Trim(b, " "), true
	}
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return b, true
	}
	plain = b[:i]
	for ; i < len(b); i++ {
		c := b[i]
		if c == '\\' {
			if i++; i == len(b) {
				return b, false
			}
			switch e := b[i]; {
			case e == 'n':
				c = '\n'
			case e == 'c':
				c = ':'
			case e == '\\':
			case e == 'r' && v == V12:
				c = '\r'
			default:
				return b, false
			}
		}
		plain = append(plain, c)
	}
	return plain, true
}

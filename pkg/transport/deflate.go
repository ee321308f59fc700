package transport

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"

	"github.com/orbitd/orbitd/pkg/message"
)

// deflateTail is what a sync flush ends with, and what a message is sent without
// (RFC 7692, section 7.2.1).
const deflateTail = "\x00\x00\xff\xff"

// deflatedFrames is the hub.Format of WebSocket connections that have agreed on
// permessage-deflate: a message from a size on is compressed, by itself, once for
// all who get it. Nothing that was sent before is referred to, so there is no
// state of a connection, and nothing is learned about one message from the size
// of another. It may be used concurrently.
type deflatedFrames struct {
	from       int // bytes of a frame's payload
	deflaters  sync.Pool
	textFrames // those of smaller messages
}

func newDeflatedFrames(from int) *deflatedFrames {
	return &deflatedFrames{from: from, deflaters: sync.Pool{New: func() any { return newDeflater() }}}
}

// Append appends m as a WebSocket frame.
func (f *deflatedFrames) Append(dst []byte, m *message.Message, redelivered bool) []byte {
	start := len(dst)
	dst = f.textFrames.Append(dst, m, redelivered)
	payload := dst[start+headerSize(dst[start+1]):]
	if len(payload) < f.from {
		return dst
	}
	d := f.deflaters.Get().(*deflater)
	defer f.deflaters.Put(d)
	small := d.deflate(payload)
	if len(small) >= len(payload) {
		return dst
	}
	dst = append(dst[:start], rsv1|finText, 0, 0, 0)
	return closeFrame(append(dst, small...), start)
}

// rsv1 marks the first frame of a compressed message (RFC 7692, section 6).
const rsv1 = 0x40

// headerSize returns how long the header of an unmasked frame is, by its second
// byte.
func headerSize(length byte) int {
	switch length {
	case 126:
		return 2 + 2
	case 127:
		return 2 + 8
	}
	return 2
}

// A deflater compresses one message at a time.
type deflater struct {
	out bytes.Buffer
	w   *flate.Writer
}

func newDeflater() *deflater {
	d := &deflater{}
	// The fastest level: with nothing to refer back to, the others save 3 % of a
	// message of 4 KiB more, for twice the time.
	d.w, _ = flate.NewWriter(&d.out, flate.BestSpeed) // fails for no such level
	return d
}

// deflate returns b compressed, without the tail. It is good until the next call.
func (d *deflater) deflate(b []byte) []byte {
	d.out.Reset()
	d.w.Reset(&d.out)
	_, _ = d.w.Write(b) // a buffer takes all
	_ = d.w.Flush()
	return bytes.TrimSuffix(d.out.Bytes(), []byte(deflateTail))
}

// An inflater decompresses one message at a time. It belongs to a part, whose
// connections take turns.
type inflater struct {
	in  inflaterInput
	r   io.ReadCloser
	out []byte
}

// firstOut is how large a buffer an inflater begins with, and keptOut how large a
// one it keeps.
const (
	firstOut = 4 << 10
	keptOut  = 128 << 10
)

var (
	errInflated  = errors.New("more than the limit")
	errCorrupted = errors.New("the compressed data is corrupted")
)

// inflate returns a message as it was before compression. It is good until the
// next call. Where it has more than limit bytes, no more of it than that is ever
// made.
func (f *inflater) inflate(payload []byte, limit int) ([]byte, error) {
	f.in = inflaterInput{payload: payload}
	if f.r == nil {
		f.r = flate.NewReader(&f.in)
	} else {
		_ = f.r.(flate.Resetter).Reset(&f.in, nil) // fails for no input
	}
	out := f.out[:0]
	defer func() {
		if cap(out) <= keptOut {
			f.out = out
		}
	}()
	for {
		if len(out) == cap(out) { // never with limit+1 in it
			out = append(make([]byte, 0, min(max(firstOut, 2*cap(out)), limit+1)), out...)
		}
		n, err := f.r.Read(out[len(out):min(cap(out), limit+1)])
		out = out[:len(out)+n]
		switch {
		case len(out) > limit:
			return nil, errInflated
		case err == io.EOF && f.in.spent():
			return out, nil
		case err != nil:
			return nil, errCorrupted
		}
	}
}

// An inflaterInput is a message's payload, the tail that it was sent without,
// and a block that ends the stream.
type inflaterInput struct {
	payload []byte
	tail    int // bytes of inflateTail that were read
}

const inflateTail = deflateTail + "\x01\x00\x00\xff\xff"

// ReadByte keeps the decompressor from reading ahead.
func (in *inflaterInput) ReadByte() (b byte, err error) {
	switch {
	case len(in.payload) > 0:
		b, in.payload = in.payload[0], in.payload[1:]
	case in.tail < len(inflateTail):
		b = inflateTail[in.tail]
		in.tail++
	default:
		return 0, io.EOF
	}
	return b, nil
}

// Read reads what a stored block holds.
func (in *inflaterInput) Read(p []byte) (n int, err error) {
	if len(in.payload) > 0 {
		n = copy(p, in.payload)
		in.payload = in.payload[n:]
		return n, nil
	}
	n = copy(p, inflateTail[in.tail:])
	in.tail += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// spent reports whether the end of the stream is that of the message. A message
// may end with a block of its own that is marked as the last, and a byte for the
// tail to stand behind (RFC 7692, section 7.2.3.4); nothing else may follow one.
func (in *inflaterInput) spent() bool {
	return in.tail == len(inflateTail) || in.tail == 0 && (len(in.payload) == 0 || len(in.payload) == 1 && in.payload[0] == 0)
}

// inflated hands a compressed message over.
func (w *websocket) inflated(payload []byte) *violation {
	limit := w.part.server.maxText()
	text, err := w.part.inflater.inflate(payload, limit)
	switch {
	case errors.Is(err, errInflated):
		return tooBig(limit)
	case err != nil:
		return &violation{ws.StatusInvalidFramePayloadData, err.Error()}
	}
	wrong := w.text(text)
	w.inflatedMuch(len(text), len(payload))
	return wrong
}

// freeRatio is how many times its size a message may grow at no charge. Text for
// people, and JSON, stay well below.
const freeRatio = 16

// inflatedMuch bounds the time that those take from others who send little for
// it to become much: beyond the free ratio a message counts as so many
// publishes as it is larger, and what is behind it waits for the next turn.
func (w *websocket) inflatedMuch(size, sent int) {
	if charge := size / (freeRatio * (sent + 8)); charge > 0 { // 8 for the header
		w.exchange.charge(charge)
		w.yields = true
	}
}

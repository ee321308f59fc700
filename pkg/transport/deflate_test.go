package transport

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/reactor"
)

// TestDeflateVectors makes the offers of PROTOCOL.md, on a loop and behind
// net/http.
func TestDeflateVectors(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	for door, address := range r.doors() {
		for _, line := range vectors(t, "deflate") {
			offer, want, _ := strings.Cut(line, " => ")
			lines := "Sec-WebSocket-Extensions: " + strings.ReplaceAll(offer, "|", "\r\nSec-WebSocket-Extensions: ")
			_, _, answer := raw(t, address, with("", lines))
			got := "-"
			if e := answer.Header.Values("Sec-WebSocket-Extensions"); len(e) > 0 {
				got = strings.ReplaceAll(strings.Join(e, ", "), ";", "; ")
				got = strings.ReplaceAll(got, ";  ", "; ")
			}
			if answer.StatusCode != http.StatusSwitchingProtocols {
				got = fmt.Sprint(answer.StatusCode)
			}
			if got != want {
				t.Errorf("%s: %s is answered by %s, want %s", door, offer, got, want)
			}
		}
	}
}

// Another protocol than orbit.v1 gets messages as they are.
func TestOthersDoNotDeflate(t *testing.T) {
	t.Parallel()
	s := &Server{deflated: newDeflatedFrames(1), others: map[string]func(*reactor.Conn, Handshake) reactor.Handler{
		"v12.stomp": func(*reactor.Conn, Handshake) reactor.Handler { return nil },
	}}
	for agreed, want := range map[string]bool{"v12.stomp": false, Subprotocol: true, "": true} {
		h := handshake{server: s, agreed: agreed}
		_, err := h.extension(httphead.NewOption(perMessageDeflate, nil))
		must(t, err)
		if got := h.extensionHeader() != nil; got != want {
			t.Errorf("%q: %v", agreed, got)
		}
	}
}

// deflating opens a connection that has agreed on permessage-deflate.
func (r *rig) deflating() *peer {
	r.t.Helper()
	conn, in, answer := raw(r.t.(*testing.T), strings.TrimSuffix(strings.TrimPrefix(r.url, "ws://"), Path), with("", "Sec-WebSocket-Extensions: permessage-deflate"))
	if answer.Header.Get("Sec-WebSocket-Extensions") == "" {
		r.t.Fatal("the server does not compress")
	}
	return &peer{t: r.t, conn: conn, in: in}
}

// compressed returns text as the payload of a compressed message, by the
// compressor of another library than the server's.
func compressed(text string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = io.WriteString(w, text)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte(deflateTail))
}

// rsv returns a masked frame with these first bits and opcode.
func rsv(first byte, payload []byte) string {
	f := ws.MaskFrame(ws.NewFrame(ws.OpCode(first&0xf), first&0x80 != 0, bytes.Clone(payload)))
	f.Header.Rsv = first >> 4 & 7
	return string(ws.MustCompileFrame(f))
}

// readFrame returns the next frame as it is on the wire, and whether it is compressed.
func (p *peer) readFrame() (payload []byte, deflated bool) {
	p.t.Helper()
	h, err := ws.ReadHeader(p.in)
	must(p.t, err)
	payload = make([]byte, h.Length)
	_, err = io.ReadFull(p.in, payload)
	must(p.t, err)
	return payload, h.Rsv1()
}

// A message of some size is compressed, once for all; a small one, a reply and
// what gets no smaller are not.
func TestWhatIsCompressed(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{loops: 1})
	a, b := r.deflating(), r.deflating()
	for _, p := range []*peer{a, b} {
		p.send(`{"id":1,"op":"connect"}`, `{"id":2,"op":"subscribe","channel":"/a/b"}`)
		for range 2 {
			if reply, deflated := p.readFrame(); deflated {
				t.Errorf("a reply is compressed: %q", reply)
			}
		}
	}
	large := strings.Repeat("all work and no play ", 4000) // with a frame of another size before compression
	r.publish("/a/b", 1, large)
	for _, want := range []struct {
		data     any
		deflated bool
	}{{1.0, false}, {large, true}} {
		first, deflated := a.readFrame()
		second, _ := b.readFrame()
		if deflated != want.deflated || !bytes.Equal(first, second) {
			t.Errorf("compressed %v, want %v; the same for all: %v", deflated, want.deflated, bytes.Equal(first, second))
		}
		if deflated {
			all, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(first), strings.NewReader(inflateTail))))
			must(t, err)
			first = all
		}
		if o := decode(t, string(first)); o["d"] != want.data {
			t.Errorf("got %.100v", o)
		}
	}
	noise := &message.Message{Channel: "/a/b", Offset: 9, Data: []byte(`"0Zx~` + "\u00e9" + `"`)}
	f := newDeflatedFrames(1)
	if got := f.Append(nil, noise, false); got[0]&rsv1 != 0 && len(got) >= len((textFrames{}).Append(nil, noise, false)) {
		t.Error("a message is larger than before")
	}
}

// Commands may be compressed, whole or in fragments with control frames between,
// and by whatever blocks a compressor makes.
func TestCompressedCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ping := `{"op":"ping"}`
	final := func() []byte { // its last block is marked as such (RFC 7692, section 7.2.3.4)
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, flate.DefaultCompression)
		_, _ = io.WriteString(w, ping)
		_ = w.Close()
		return append(b.Bytes(), 0)
	}()
	stored := append([]byte{0, byte(len(ping)), 0, ^byte(len(ping)), 0xff}, ping...)
	stored = append(stored, 0)
	squeezed := compressed(ping)
	for name, frames := range map[string]string{
		"whole":         rsv(0xc1, squeezed),
		"uncompressed":  rsv(0x81, []byte(ping)),
		"fragments":     rsv(0x41, squeezed[:3]) + rsv(0x89, nil) + rsv(0x00, nil) + rsv(0x80, squeezed[3:]),
		"empty at last": rsv(0x41, squeezed) + rsv(0x80, nil),
		"final block":   rsv(0xc1, final),
		"stored block":  rsv(0xc1, stored),
		"no tail":       rsv(0xc1, final[:len(final)-1]),
	} {
		p := r.deflating()
		p.send(`{"id":1,"op":"connect"}`)
		p.next()
		_, err := io.WriteString(p.conn, frames)
		must(t, err)
		if o := p.next(); o["op"] != "pong" {
			t.Errorf("%s: %v", name, o)
		}
	}
}

func TestCompressedIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	good := compressed(`{"op":"ping"}`)
	limit := r.server.maxText()
	for name, c := range map[string]struct {
		frames string
		code   ws.StatusCode
	}{
		"bomb":                    {rsv(0xc1, compressed(strings.Repeat(" ", 60<<20))), 1009},
		"one byte too many":       {rsv(0xc1, compressed(strings.Repeat(" ", limit+1))), 1009},
		"bomb in fragments":       {rsv(0x41, compressed(strings.Repeat(" ", 1<<20))) + rsv(0x80, nil), 1009},
		"bomb and its fragments":  {rsv(0x41, make([]byte, limit)) + rsv(0x80, []byte{0}), 1009},
		"nonsense":                {rsv(0xc1, []byte("\xff\xff\xff\xff")), 1007},
		"cut off":                 {rsv(0xc1, good[:len(good)-2]), 1007},
		"more behind the end":     {rsv(0xc1, append([]byte("\x03\x00"), good...)), 1007},
		"refers to what was not":  {rsv(0xc1, []byte("\x02\x03\x00")), 1007},
		"not UTF-8":               {rsv(0xc1, compressed("\"\xff\"")), 1007},
		"compressed ping":         {rsv(0xc9, nil), 1002},
		"compressed close":        {rsv(0xc8, nil), 1002},
		"compressed continuation": {rsv(0x41, good[:2]) + rsv(0xc0, good[2:]), 1002},
		"another reserved bit":    {rsv(0xe1, good), 1002},
		"binary":                  {rsv(0xc2, good), 1003},
	} {
		p := r.deflating()
		p.send(`{"id":1,"op":"connect"}`)
		p.next()
		_, err := io.WriteString(p.conn, c.frames)
		must(t, err)
		if code := p.closed(); code != c.code {
			t.Errorf("%s: close code %d, want %d", name, code, c.code)
		}
	}
	p := r.dial() // which has agreed on nothing
	p.connect("")
	_, err := io.WriteString(p.conn, rsv(0xc1, good))
	must(t, err)
	if code := p.closed(); code != 1002 {
		t.Errorf("not agreed on: close code %d", code)
	}
}

// What is exactly as large as may be is taken. Of those that grow a lot a
// connection may send a few at once, and then a few a second: the others wait,
// and nothing is lost.
func TestBombsWithinTheLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{loops: 1, limits: Limits{CommandRate: 1000, CommandBurst: 1000}})
	ping := `{"op":"ping"}`
	bomb := rsv(0xc1, compressed(ping+strings.Repeat(" ", r.server.maxText()-len(ping))))
	p := r.deflating()
	p.send(`{"id":1,"op":"connect"}`)
	p.next()
	const n = 40 // more than the rate allows at once
	_, err := io.WriteString(p.conn, strings.Repeat(bomb, n))
	must(t, err)
	other := r.dial() // is served between any two of them
	other.connect("")
	for range n {
		p.want(`{"op":"pong"}`)
	}
	cost := r.server.maxText() / (freeRatio * (len(compressed(strings.Repeat(" ", r.server.maxText()))) + 8))
	if cost*n < 1000 {
		t.Fatalf("%d bombs of %d were no test", n, cost)
	}
}

// One that is slowed does so by the clock: a charge that is refused waits for
// the next tick.
func TestChargeIsBounded(t *testing.T) {
	t.Parallel()
	var b bucket
	now := time.Unix(1_790_000_000, 0)
	if !b.takeMany(now, 10, 20, 20) || b.takeMany(now, 10, 20, 1) || b.takeMany(now, 10, 20, 21) {
		t.Error("more than the burst, or less")
	}
	if now = now.Add(time.Second); !b.takeMany(now, 10, 20, 10) || b.take(now, 10, 20) {
		t.Error("more than the rate, or less")
	}
}

// An inflater makes no more than the limit, keeps nothing of one message for the
// next and, used to it, allocates nothing.
func TestInflater(t *testing.T) {
	var f inflater
	text := strings.Repeat("x", 1000)
	small := compressed(text)
	if n := testing.AllocsPerRun(100, func() {
		if got, err := f.inflate(small, 1000); err != nil || len(got) != 1000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if _, err := f.inflate(small, 999); !errors.Is(err, errInflated) {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := f.inflate(compressed(strings.Repeat(" ", 64<<20)), 1<<20); err == nil || cap(f.out) > keptOut {
		t.Errorf("%v, and %d bytes are kept", err, cap(f.out))
	}
	if got, err := f.inflate(compressed("fresh"), 1000); err != nil || string(got) != "fresh" {
		t.Errorf("%q, %v", got, err)
	}
}

// A hub asks several at once to frame, on its loops and where the log is read.
func TestDeflatedFramesConcurrently(t *testing.T) {
	t.Parallel()
	f := newDeflatedFrames(1)
	done := make(chan bool)
	for i := range 4 {
		go func() {
			m := &message.Message{Channel: "/a/b", Data: []byte(`"` + strings.Repeat(fmt.Sprint(i), 5000) + `"`)}
			want := f.Append(nil, m, false)
			ok := true
			for range 100 {
				ok = ok && bytes.Equal(f.Append([]byte("before"), m, false)[6:], want)
			}
			done <- ok
		}()
	}
	for range 4 {
		if !<-done {
			t.Error("what is framed depends on who else does")
		}
	}
}

func BenchmarkDeflate(b *testing.B) {
	for _, size := range []int{100, 1000, 10_000} {
		m := &message.Message{Channel: "/a/b", Offset: 5, Data: fmt.Appendf(nil, "%q", strings.Repeat("a price of 12.5, ", size/17))}
		b.Run(fmt.Sprint("append-", size), func(b *testing.B) {
			f := newDeflatedFrames(64)
			var dst []byte
			for b.Loop() {
				dst = f.Append(dst[:0], m, false)
			}
		})
		b.Run(fmt.Sprint("inflate-", size), func(b *testing.B) {
			var f inflater
			squeezed := compressed(string(m.Data))
			for b.Loop() {
				_, _ = f.inflate(squeezed, 1<<20)
			}
		})
	}
}

package stomp_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

const half = "SEND\ndestination:/open/slow\ncontent-length:4\nreceipt:slow\n\n1"

// frames writes a WebSocket's frames.
func (c *client) frames(all ...ws.Frame) {
	c.t.Helper()
	var b bytes.Buffer
	for _, f := range all {
		must(c.t, ws.WriteFrame(&b, ws.MaskFrame(f)))
	}
	_, err := c.Conn.(*socket).Conn.Write(b.Bytes())
	must(c.t, err)
}

// part reads a WebSocket's frame.
func (c *client) part() (op ws.OpCode, payload []byte) {
	c.t.Helper()
	nc := c.Conn.(*socket).Conn
	must(c.t, nc.SetDeadline(time.Now().Add(patience)))
	h, err := ws.ReadHeader(nc)
	must(c.t, err)
	payload = make([]byte, h.Length)
	_, err = io.ReadFull(nc, payload)
	must(c.t, err)
	return h.OpCode, payload
}

// code reads up to the close frame, and returns its code and what was said before.
func (c *client) code() (code ws.StatusCode, said string) {
	c.t.Helper()
	for {
		op, payload := c.part()
		if op == ws.OpClose {
			code, _ = ws.ParseCloseFrameData(payload)
			return code, said
		}
		said += string(payload)
	}
}

// Who has not completed a frame or a WebSocket's message within 30 s is told so; who has
// then is served, however slowly the rest comes.
func TestSlowFrames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.advance(0)
	begun := "SEND\ndestination:/open/slow\nreceipt:begun\n\n1\x00"
	tcp, socket := s.dial().connected("1.2"), s.webSocket(1<<20).connected("1.2")
	endless := s.webSocket(1 << 20).connected("1.2")
	moving := s.dial().connected("1.2")
	for _, c := range []*client{tcp, socket, moving} {
		c.say(begun + half)
		c.receipt("begun")
	}
	endless.frames(ws.NewFrame(ws.OpText, false, []byte(begun)))
	endless.receipt("begun")
	s.advance(29 * time.Second)
	moving.say("abc\x00" + half)
	moving.receipt("slow")
	s.advance(2 * time.Second)
	tcp.refused("a frame was not completed within 30s")
	if code, said := socket.code(); code != ws.StatusPolicyViolation || !strings.Contains(said, "a frame was not completed within 30s") {
		t.Errorf("%d %q", code, said)
	}
	if code, said := endless.code(); code != ws.StatusPolicyViolation || !strings.Contains(said, "a message was not completed within 30s") {
		t.Errorf("%d %q", code, said)
	}
	moving.say("abc\x00")
	moving.receipt("slow")
}

// While nothing is read, as a client was too fast, what does not come is not missing.
func TestHeldUpFrames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.limited("command_rate = 10\ncommand_burst = 5")
	c := s.webSocket(1 << 20).connected("1.2")
	s.advance(0)
	pings := []ws.Frame{ws.NewTextFrame([]byte(half))}
	for range 30 {
		pings = append(pings, ws.NewPingFrame(nil))
	}
	c.frames(pings...)
	if op, _ := c.part(); op != ws.OpPong {
		t.Fatalf("%v, not a pong", op)
	}
	s.advance(31 * time.Second)
	c.say("abc\x00")
	c.receipt("slow")
}

// What makes work and is no frame of STOMP waits beyond session.command_rate as those do,
// and fragments have a bound.
func TestFramesOfWebSockets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.limited("command_rate = 10\ncommand_burst = 20")
	send := "SEND\ndestination:/open/x\nreceipt:r\n\n%q\x00"
	reader := s.dial().connected("1.2")
	reader.say("SUBSCRIBE\nid:r\ndestination:/open/x\nreceipt:s\n\n\x00")
	reader.receipt("s")
	kinds := [][2]ws.Frame{
		{ws.NewPingFrame(nil), ws.NewPongFrame(nil)},
		{ws.NewBinaryFrame(nil), ws.NewTextFrame(nil)},
		{ws.NewFrame(ws.OpText, false, nil), ws.NewFrame(ws.OpContinuation, true, nil)},
	}
	var all []*client
	for _, kind := range kinds {
		c := s.webSocket(1 << 20).connected("1.2")
		many := slices.Repeat(kind[:], 20)
		c.frames(append(many, ws.NewTextFrame(fmt.Appendf(nil, send, "late")), ws.NewCloseFrame([]byte{3}))...)
		all = append(all, c)
	}
	other := s.dial().connected("1.2")
	for range 3 {
		other.say(send, "early")
		other.receipt("r")
	}
	for _, want := range []string{"early", "late"} {
		for range 3 {
			reader.message(strconv.Quote(want))
		}
	}
	for i, c := range all { // which end with half a code
		if code, _ := c.code(); code != ws.StatusProtocolError {
			t.Errorf("%v: code %d", kinds[i][0].Header.OpCode, code)
		}
	}
	c := s.webSocket(1 << 20).connected("1.2")
	c.frames(ws.NewFrame(ws.OpText, false, []byte("\n")))
	c.frames(slices.Repeat([]ws.Frame{ws.NewFrame(ws.OpContinuation, false, []byte("\n"))}, 1024)...)
	if code, said := c.code(); code != ws.StatusPolicyViolation || !strings.Contains(said, "1024 fragments") {
		t.Errorf("%d %q", code, said)
	}
}

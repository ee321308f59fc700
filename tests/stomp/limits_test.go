package stomp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// Who sends more frames than session.command_rate is slowed down, and goes on; nobody
// else is. So is a back end beyond session.backend_rate.
func TestCommandRate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limits  string
		connect func(*site) *client
	}{
		"nobody":         {"command_rate = 10", func(s *site) *client { return s.dial().connected("1.2") }},
		"over WebSocket": {"command_rate = 10", (*site).socketOfAlice},
		"a back end":     {"backend_rate = 10", func(s *site) *client { return s.alice("1.2", "x") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.limited(test.limits + "\ncommand_burst = 20")
			const burst, all = 19, 400 // with CONNECT
			c := test.connect(s)
			for i := range all {
				c.say("SEND\ndestination:/open/rate\nreceipt:%d\n\n1\x00", i)
			}
			for i := range 10 { // another's are answered while those wait
				other := s.dial().connected("1.2")
				other.say("SEND\ndestination:/open/rate\nreceipt:other%d\n\n1\x00", i)
				other.receipt(fmt.Sprint("other", i))
			}
			for range burst + 20 {
				if f := c.hear(); f.Command != frame.Receipt {
					t.Fatalf("%s %q", f.Command, f.Headers)
				}
			}
			if n := bytes.Count(c.unread, []byte("RECEIPT")); n > all/2 {
				t.Errorf("%d of %d frames were answered at once", burst+20+n, all)
			}
		})
	}
}

// A back end, who has logged in and cannot be a browser, has no bound but what is said,
// also where that is more than command_burst.
func TestBackendRate(t *testing.T) {
	t.Parallel()
	for _, limits := range []string{"", "\nbackend_rate = 1_000_000"} {
		s := newSite(t)
		s.limited("command_rate = 1\ncommand_burst = 1" + limits)
		c := s.alice("1.2", "x")
		for range 5000 {
			c.say("SEND\ndestination:/open/rate\n\n1\x00")
		}
		c.say("DISCONNECT\nreceipt:all\n\n\x00")
		c.receipt("all") // in an hour, at the others' rate
	}
}

// limited starts the daemon again with more in the section session.
func (s *site) limited(more string) {
	s.t.Helper()
	s.configure(strings.Replace(configuration, "[session]\n", "[session]\n"+more+"\n", 1))
	s.restart()
}

// A peer without heart-beats is asked by TCP whether it is still there.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []*client{s.dial().connected("1.2"), s.dialTLS().connected("1.2"), s.webSocket(100).connected("1.2")} {
		c.say("SEND\ndestination:/open/1\nreceipt:r\n\n1\x00")
		c.receipt("r")
		conn := c.Conn
		if socket, ok := conn.(*socket); ok {
			conn = socket.Conn
		}
		if timer := timerOf(t, conn.RemoteAddr().String(), conn.LocalAddr().String()); timer != "02" {
			t.Errorf("%T: the timer is %s, want that of keep-alive", c.Conn, timer)
		}
	}
}

// timerOf returns the kind of timer that a TCP socket has: proc_net_tcp.txt of the kernel.
func timerOf(t *testing.T, local, remote string) string {
	t.Helper()
	port := func(address string) (hex string) {
		var n int
		_, err := fmt.Sscan(address[strings.LastIndexByte(address, ':')+1:], &n)
		must(t, err)
		return fmt.Sprintf(":%04X", n)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		f, err := os.Open("/proc/net/tcp")
		must(t, err)
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if strings.HasSuffix(fields[1], port(local)) && strings.HasSuffix(fields[2], port(remote)) {
				timer, _, _ := strings.Cut(fields[5], ":")
				if timer != "01" { // something is still to be acknowledged
					f.Close()
					return timer
				}
			}
		}
		f.Close()
	}
	return "none"
}

// Text is UTF-8, however it is cut; binary messages may have any bytes.
func TestTextIsUTF8(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	send := "SEND\ndestination:/open/utf8\nreceipt:r\ncontent-type:text/plain\n\n%s\x00"
	for name, test := range map[string]struct {
		frames []ws.Frame
		code   ws.StatusCode
	}{
		"text":                {[]ws.Frame{ws.NewTextFrame(fmt.Appendf(nil, send, "é€𝄞"))}, 0},
		"cut in a character":  {[]ws.Frame{ws.NewFrame(ws.OpText, false, fmt.Appendf(nil, send, "é")[:65]), ws.NewFrame(ws.OpContinuation, true, fmt.Appendf(nil, send, "é")[65:])}, 0},
		"no UTF-8":            {[]ws.Frame{ws.NewTextFrame(fmt.Appendf(nil, send, "\xff"))}, 1007},
		"ends in a character": {[]ws.Frame{ws.NewTextFrame([]byte("SEND\ndestination:/open/utf8\n\n\xc3"))}, 1007},
		"ended by nothing":    {[]ws.Frame{ws.NewFrame(ws.OpText, false, []byte("SEND\n\n\xc3")), ws.NewFrame(ws.OpContinuation, true, nil)}, 1007},
		"binary":              {[]ws.Frame{ws.NewBinaryFrame(fmt.Appendf(nil, send, "\xff"))}, 0},
	} {
		nc, _, _, err := ws.Dialer{Protocols: []string{"v12.stomp"}}.Dial(context.Background(), "ws://"+s.address("http")+"/v1/ws")
		must(t, err)
		defer nc.Close()
		must(t, nc.SetDeadline(time.Now().Add(patience)))
		must(t, wsutil.WriteClientText(nc, []byte("CONNECT\naccept-version:1.2\nhost:x\n\n\x00")))
		for _, f := range test.frames {
			must(t, ws.WriteFrame(nc, ws.MaskFrame(f)))
		}
		var code ws.StatusCode
		for answered := false; !answered && code == 0; {
			h, err := ws.ReadHeader(nc)
			must(t, err)
			payload := make([]byte, h.Length)
			_, err = io.ReadFull(nc, payload)
			must(t, err)
			if h.OpCode == ws.OpClose {
				code, _ = ws.ParseCloseFrameData(payload)
			}
			answered = strings.HasPrefix(string(payload), "RECEIPT")
		}
		if code != test.code {
			t.Errorf("%s: code %d, want %d", name, code, test.code)
		}
	}
}

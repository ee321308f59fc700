package stomp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// A socket is the stream of bytes that stands in a WebSocket's messages; writes are
// cut into messages of some bytes each.
type socket struct {
	net.Conn
	source *wsutil.Reader
	piece  int
}

func (s *socket) Read(p []byte) (int, error) {
	for {
		n, err := s.source.Read(p)
		if n > 0 || err != nil && err != io.EOF && err != wsutil.ErrNoFrameAdvance {
			return n, err
		}
		h, err := s.source.NextFrame()
		if err != nil {
			return 0, err
		}
		if h.OpCode == ws.OpClose {
			return 0, io.EOF
		}
	}
}

func (s *socket) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(s.piece, len(rest))
		if err := wsutil.WriteClientBinary(s.Conn, rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// webSocket connects by one, and cuts what it says into pieces of some bytes.
func (s *site) webSocket(piece int) *client {
	s.t.Helper()
	nc, _, h, err := ws.Dialer{Protocols: []string{"v12.stomp", "v11.stomp"}}.Dial(context.Background(), "ws://"+s.address("http")+"/v1/ws")
	must(s.t, err)
	if h.Protocol != "v12.stomp" {
		s.t.Errorf("the subprotocol is %q", h.Protocol)
	}
	return s.client(&socket{nc, wsutil.NewClientSideReader(nc), piece})
}

// Over WebSocket, frames stand in messages of any size, and what is published there
// comes over TCP, and the other way round, with the same offsets.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, piece := range []int{1, 7, 1 << 20} {
		name := fmt.Sprint("/open/", piece)
		c := s.webSocket(piece).connected("1.2")
		c.say("SUBSCRIBE\nid:1\nack:client\ndestination:%s\nreceipt:s\n\n\x00", name)
		c.receipt("s")
		tcp := s.dial().connected("1.2")
		tcp.say("SUBSCRIBE\nid:1\ndestination:%s\nreceipt:s\n\n\x00", name)
		tcp.receipt("s")
		large := strings.Repeat("\xff", 70_000)
		tcp.say("SEND\ndestination:%s\n\n%s\x00", name, large)
		c.say("SEND\ndestination:%s\nreceipt:r\n\n1\x00", name)
		c.receipt("r")
		for range 2 {
			a, b := c.the(frame.Message), tcp.the(frame.Message)
			if string(a.Body) != string(b.Body) || a.Text("message-id") != b.Text("message-id") || a.Text("ack") == "" {
				t.Errorf("%q and %q", a.Headers, b.Headers)
			}
		}
		c.say("SEND\n\n\x00")
		c.refused("destination")
	}
}

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/orbitd/orbitd/tests/scene"
)

// A peer is an orbit.v1 client on coder/websocket, and a witness. It publishes its
// messages one behind the other, each in fragments with a ping between them.
type peer struct {
	*scene.Witness
	url             string
	session, secret string
	epoch           string
	last            map[string]uint64
	stored          int
}

// run comes back until ctx ends.
func (p *peer) run(ctx context.Context) {
	for _, ch := range scene.Channels {
		p.last[string(ch)] = 0
	}
	for ctx.Err() == nil && p.Failed == nil {
		c, _, err := websocket.Dial(ctx, p.url, &websocket.DialOptions{Subprotocols: []string{"orbit.v1"}})
		if err == nil {
			p.live(ctx, c)
			c.CloseNow()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// live is one connection.
func (p *peer) live(ctx context.Context, c *websocket.Conn) {
	hello := map[string]any{"id": 1, "op": "connect", "last": p.last}
	if p.session != "" {
		hello["session"], hello["secret"] = p.session, p.secret
	}
	if p.epoch != "" {
		hello["epoch"] = p.epoch
	}
	text, _ := json.Marshal(hello) // cannot fail
	err := c.Write(ctx, websocket.MessageText, text)
	c.SetReadLimit(-1)
	epoch := ""
	for err == nil {
		if _, text, err = c.Read(ctx); err != nil {
			return
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if err = p.take(ctx, c, &epoch, line); err != nil {
				return
			}
		}
	}
}

func (p *peer) take(ctx context.Context, c *websocket.Conn, epoch *string, line string) error {
	var o struct {
		Re, O, At              uint64
		Op, Ch                 string
		Session, Secret, Epoch string
		Error                  json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		p.Failed = err
		return err
	}
	switch {
	case o.Error != nil:
		p.Failed = errors.New(line)
		return p.Failed
	case o.Session != "":
		p.session, p.secret, *epoch = o.Session, o.Secret, o.Epoch
		go p.publish(ctx, c, p.stored+1)
	case o.Op == "ping":
		go write(ctx, c, `{"op":"pong"}`)
	case o.Re > 1:
		p.stored++
		go p.publish(ctx, c, p.stored+1)
	case o.At > 0:
		p.last[o.Ch], p.epoch = max(p.last[o.Ch], o.At), *epoch
	case o.O > 0:
		p.last[o.Ch], p.epoch = o.O, *epoch
		if err := p.Object([]byte(line)); err != nil {
			p.Failed = err
		}
		if p.Got.Load()%100 == 0 {
			last, _ := json.Marshal(p.last) // cannot fail
			go write(ctx, c, fmt.Sprintf(`{"op":"ack","last":%s}`, last))
		}
	}
	return nil
}

// write sends a message when the one that is on its way is complete. That waits for
// pongs, hence for the reader: so this, too, is a goroutine beside it. Both end with the
// connection, whose reader finds what was wrong.
func write(ctx context.Context, c *websocket.Conn, text string) {
	_ = c.Write(ctx, websocket.MessageText, []byte(text))
}

// publish sends message n in pieces, with a ping behind each.
func (p *peer) publish(ctx context.Context, c *websocket.Conn, n int) {
	if n > published {
		return
	}
	w, err := c.Writer(ctx, websocket.MessageText)
	if err != nil {
		return
	}
	text := fmt.Sprintf(`{"id":%d,"op":"publish","channel":"/kill/coder","data":%d,"key":"coder-%d"}`, n+1, n, n)
	for ; len(text) > 20 && err == nil; text = text[20:] {
		if _, err = w.Write([]byte(text[:20])); err == nil {
			err = c.Ping(ctx)
		}
	}
	if err == nil {
		_, _ = w.Write([]byte(text)) // then Close fails, too
		_ = w.Close()
	}
}

// Connections end with the codes that PROTOCOL.md names, as others understand them.
func TestCloseCodes(t *testing.T) {
	installed(t)
	d := scene.NewDaemon(t, "")
	d.Start()
	d.Ready(t.Context())
	url := strings.Replace(d.URL(), "http", "ws", 1) + "/v1/ws"
	out, err := exec.CommandContext(t.Context(), python, "peer.py", "codes", url).CombinedOutput()
	if got := strings.Join(strings.Fields(string(out)), " "); got != "1003 1009 4000" {
		t.Errorf("python3-websockets is told %s, %v", got, err)
	}
	say := func(kind websocket.MessageType, what string) func(*websocket.Conn) error {
		return func(c *websocket.Conn) error { return c.Write(t.Context(), kind, []byte(what)) }
	}
	for _, c := range []struct {
		want websocket.StatusCode
		end  func(*websocket.Conn) error
	}{
		{websocket.StatusUnsupportedData, say(websocket.MessageBinary, "bytes")},
		{websocket.StatusMessageTooBig, say(websocket.MessageText, strings.Repeat("x", 100_000))},
		{websocket.StatusInvalidFramePayloadData, say(websocket.MessageText, "\xff")},
		{websocket.StatusPolicyViolation, say(websocket.MessageText, `{"id":1,"op":"connect","token":"nonsense"}`)},
		{websocket.StatusServiceRestart, func(*websocket.Conn) error { d.Stop(); return nil }},
	} {
		told(t, dial(t, url), c.want, c.end)
	}
}

// python3-websockets offers compression by itself.
func TestCompression(t *testing.T) {
	installed(t)
	d := scene.NewDaemon(t, "")
	d.Start()
	d.Ready(t.Context())
	url := strings.Replace(d.URL(), "http", "ws", 1) + "/v1/ws"
	out, err := exec.CommandContext(t.Context(), python, "peer.py", "deflate", url).CombinedOutput()
	if got := strings.TrimSpace(string(out)); got != "permessage-deflate" {
		t.Errorf("python3-websockets has agreed on %q, %v", got, err)
	}
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// told checks the code by which a connection ends.
func told(t *testing.T, c *websocket.Conn, want websocket.StatusCode, end func(*websocket.Conn) error) {
	t.Helper()
	err := end(c)
	for err == nil {
		_, _, err = c.Read(t.Context())
	}
	if got := websocket.CloseStatus(err); got != want {
		t.Errorf("coder/websocket is told %v (%v), want %v", got, err, want)
	}
}

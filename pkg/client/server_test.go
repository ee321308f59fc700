package client_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const epochOne, epochTwo = "1111111111111111", "2222222222222222"

// A server plays orbitd by a script: the test takes its connections and says
// what it answers.
type server struct {
	t        *testing.T
	listener net.Listener
}

func newServer(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &server{t, l}
}

func (s *server) url() string { return "http://" + s.listener.Addr().String() }

// A peer is one connection of the client under test.
type peer struct {
	t    *testing.T
	conn net.Conn
	rest []protocol.Command // read and not yet expected
}

// accept takes the next connection.
func (s *server) accept() *peer {
	s.t.Helper()
	conn, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	return upgrade(s.t, conn)
}

func upgrade(t *testing.T, conn net.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	u := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == "orbit.v1" }}
	if _, err := u.Upgrade(conn); err != nil {
		t.Fatal(err)
	}
	return &peer{t: t, conn: conn}
}

// welcome takes the connect and answers it.
func (s *server) welcome(subs string) (*peer, protocol.Command) {
	s.t.Helper()
	p := s.accept()
	c := p.expect(protocol.OpConnect)
	p.hello(c, epochOne, subs)
	return p, c
}

func (p *peer) hello(c protocol.Command, epoch, subs string) {
	p.t.Helper()
	p.helloOf(c, epoch, subs, 65536)
}

// helloOf is hello of a server that takes payloads of most bytes.
func (p *peer) helloOf(c protocol.Command, epoch, subs string, most int) {
	p.t.Helper()
	re := protocol.AppendDone(nil, c.ID)
	p.send(strings.TrimSuffix(string(re), "}") + `,"session":"s1","secret":"x1","resumed":false,"epoch":"` + epoch +
		`","now":1790000000000,"user":"alice","subs":{` + subs + `},"ttl":120,"ping":25,"window":4,"max":` + strconv.Itoa(most) + `}`)
}

// expect takes the next command, which must be of op. Acks may come at any time
// and are passed over, unless they are expected.
func (p *peer) expect(op protocol.Op) protocol.Command {
	p.t.Helper()
	for {
		for len(p.rest) == 0 {
			data, err := wsutil.ReadClientText(p.conn)
			if err != nil {
				p.t.Fatalf("waiting for %s: %v", op, err)
			}
			p.take(data)
		}
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c.Op == op:
			return c
		case c.Op != protocol.OpAck:
			p.t.Fatalf("the client sent %+v; want %s", c, op)
		}
	}
}

func (p *peer) take(data []byte) {
	for line := range protocol.Lines(data) {
		c, err := protocol.ParseCommand(line, protocol.Limits{})
		if err != nil {
			p.t.Fatalf("the client sent %s: %v", line, err)
		}
		p.rest = append(p.rest, c)
	}
}

// send sends lines as one message.
func (p *peer) send(lines ...string) {
	p.t.Helper()
	if err := wsutil.WriteServerText(p.conn, []byte(strings.Join(lines, "\n"))); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) reply(b []byte) { p.send(string(b)) }

func (p *peer) cut() { p.conn.Close() }

// push returns a message of /a whose payload is its offset.
func push(offset, previous message.Offset) string {
	m := message.Message{Channel: "/a", Offset: offset, Previous: previous, Time: 1, Data: protocol.AppendDone(nil, uint64(offset))}
	return string(protocol.AppendMessage(nil, &m, false))
}

// A run is a client that runs until the test ends.
type run struct {
	*client.Client
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	events chan any // message offsets, client.Gap, position, *message.Error
}

func start(t *testing.T, o client.Options, before ...func(*run)) *run {
	t.Helper()
	o.Backoff = func(int) time.Duration { return time.Microsecond }
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{Client: c, t: t, cancel: cancel, ended: make(chan error, 1), events: make(chan any, 100)}
	for _, f := range before {
		f(r)
	}
	go func() { r.ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("the client ended: %v", err)
		}
	})
	return r
}

// end waits until Run has returned and gives its error.
func (r *run) end() error {
	err := <-r.ended
	r.ended <- err
	return err
}

// listen subscribes /a; what comes goes to events.
func (r *run) listen(from *message.Position) {
	r.t.Helper()
	err := r.Subscribe(client.Subscription{
		Channel:   "/a",
		From:      from,
		OnMessage: func(m *message.Message, _ message.Epoch, _ bool) { r.events <- m.Offset },
		OnGap:     func(g client.Gap) { r.events <- g },
		OnLive:    func(p message.Position) { r.events <- p },
		OnEnd:     func(e *message.Error) { r.events <- e.Code },
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) expect(want ...any) {
	r.t.Helper()
	for _, w := range want {
		if got := <-r.events; got != w {
			r.t.Fatalf("event %#v; want %#v", got, w)
		}
	}
}

func offset(o message.Offset) message.Offset { return o }

func position(epoch string, o message.Offset) message.Position {
	e, err := message.ParseEpoch(epoch)
	if err != nil {
		panic(err)
	}
	return message.Position{Epoch: e, Offset: o}
}

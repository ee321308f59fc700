package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// live brings a client to the subscription of /a at offset 10.
func live(t *testing.T) (*server, *run, *peer) {
	t.Helper()
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	r.listen(nil)
	p, _ := s.welcome("")
	c := p.expect(protocol.OpSubscribe)
	if c.HasAfter || c.Channel != "/a" {
		t.Fatalf("%+v; want a subscription from now", c)
	}
	p.reply(protocol.AppendSubscribed(nil, c.ID, 10, position(epochOne, 0).Epoch))
	r.expect(position(epochOne, 10))
	return s, r, p
}

func TestMessagesComeOnceAndInOrder(t *testing.T) {
	_, r, p := live(t)
	p.send(push(12, 10), push(12, 10), push(11, 10), push(15, 12))
	r.expect(offset(12), offset(15))
}

func TestAMissingMessageIsNoticed(t *testing.T) {
	_, r, p := live(t)
	p.send(push(12, 10), push(15, 14), push(16, 15))
	r.expect(offset(12))
	c := p.expect(protocol.OpSubscribe)
	if !c.HasAfter || c.Position() != position(epochOne, 12) {
		t.Fatalf("%+v; want a subscription after 12", c)
	}
	p.send(push(17, 16))
	p.reply(protocol.AppendSubscribed(nil, c.ID, 17, 1))
	p.send(push(14, 12), push(15, 14), push(16, 15), push(17, 16), string(protocol.AppendAt(nil, "/a", 18)))
	r.expect(offset(14), offset(15), offset(16), offset(17), position(epochOne, 18))
}

func TestAnInterruptionIsResumed(t *testing.T) {
	s, r, p := live(t)
	p.send(push(12, 10))
	r.expect(offset(12))
	p.cut()

	p = s.accept()
	c := p.expect(protocol.OpConnect)
	if c.Session != "s1" || c.Secret != "x1" || c.Epoch != position(epochOne, 0).Epoch ||
		len(c.Last) != 1 || c.Last[0] != (protocol.Mark{Channel: "/a", Offset: 12}) {
		t.Fatalf("%+v; want the session and where /a stands", c)
	}
	p.hello(c, epochTwo, `"/a":{"offset":14}`)
	p.send(push(13, 12), push(14, 13), string(protocol.AppendAt(nil, "/a", 14)))
	r.expect(offset(13), offset(14), position(epochTwo, 14))
	p.cut()

	p, c = s.welcome(`"/a":{"offset":14}`)
	if c.Epoch != position(epochTwo, 0).Epoch {
		t.Errorf("position of epoch %v; want the last connection's", c.Epoch)
	}
	p.send(push(15, 14))
	r.expect(offset(15))
}

func TestAnUnconfirmedPositionKeepsItsEpoch(t *testing.T) {
	s, r, p := live(t)
	p.cut()
	// The server has lost its disk, and the connection ends before its gap.
	p = s.accept()
	p.hello(p.expect(protocol.OpConnect), epochTwo, `"/a":{"offset":3}`)
	p.cut()
	p, c := s.welcome(`"/a":{"offset":3}`)
	if c.Epoch != position(epochOne, 0).Epoch || c.Last[0].Offset != 10 {
		t.Fatalf("%+v; want the position as it was learned", c)
	}
	p.send(string(protocol.AppendGap(nil, "/a", 10, 1, "epoch")), push(2, 1))
	gap := client.Gap{Channel: "/a", After: 10, To: 1, Epoch: position(epochOne, 0).Epoch, Reason: "epoch"}
	r.expect(gap, offset(2))
}

func TestFromTheOldestAnyPredecessorIsRight(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()}, func(r *run) { r.listen(&message.Position{}) })
	p, c := s.welcome(`"/a":{"offset":9}`)
	if len(c.Last) != 1 || c.Last[0] != (protocol.Mark{Channel: "/a"}) {
		t.Fatalf("%+v; want what was asked for before Run", c)
	}
	p.send(push(7, 3), push(9, 7))
	r.expect(offset(7), offset(9))
}

func TestANamedSessionContinues(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{
		URL: s.url(), Client: "laptop", Token: func(context.Context) (string, error) { return "t", nil },
	})
	r.listen(nil)
	p, c := s.welcome(`"/a":{"offset":9},"/old":{"offset":9}`)
	if c.Client != "laptop" || c.Token != "t" || len(c.Last) != 0 {
		t.Fatalf("%+v", c)
	}
	p.send(push(7, 3), push(9, 7))
	if c := p.expect(protocol.OpUnsubscribe); c.Channel != "/old" {
		t.Errorf("%+v; want /old gone", c)
	}
	r.expect(offset(7), offset(9))
}

// A subscription of a named session that is asked for before the answer to the
// connect is never ended there, and so loses nothing.
func TestANamedSessionIsAskedForInTime(t *testing.T) {
	token := func(context.Context) (string, error) { return "t", nil }
	s := newServer(t)
	r := start(t, client.Options{URL: s.url(), Client: "laptop", Token: token})
	p := s.accept()
	c := p.expect(protocol.OpConnect)
	r.listen(nil)
	p.hello(c, epochOne, `"/a":{"offset":9}`)
	p.send(push(7, 3))
	r.expect(offset(7))
}

func TestARefusedSubscriptionEnds(t *testing.T) {
	_, r, p := live(t)
	p.send(string(protocol.AppendRevoked(nil, "/a", message.Errorf(message.Forbidden, "no"))), push(12, 10))
	r.expect(message.Forbidden)
	r.listen(nil)
	c := p.expect(protocol.OpSubscribe)
	p.reply(protocol.AppendError(nil, c.ID, message.Errorf(message.Forbidden, "no")))
	r.expect(message.Forbidden)
}

func TestASubscriptionIsTriedAgain(t *testing.T) {
	s, r, p := live(t)
	p.cut()
	p, _ = s.welcome(`"/a":{"error":{"code":"unavailable","message":"later"}}`)
	c := p.expect(protocol.OpSubscribe)
	if c.After != 10 {
		t.Fatalf("%+v; want after 10", c)
	}
	p.reply(protocol.AppendSubscribed(nil, c.ID, 10, 1))
	p.send(push(11, 10))
	r.expect(offset(11))
}

func TestAcksComeAtHalfAWindow(t *testing.T) {
	_, r, p := live(t)
	p.send(push(11, 10), push(12, 11))
	r.expect(offset(11), offset(12))
	if c := p.expect(protocol.OpAck); c.Last[0] != (protocol.Mark{Channel: "/a", Offset: 12}) {
		t.Errorf("%+v", c)
	}
}

// A server with a small session.max_message takes the positions and acknowledgements of
// many channels, and of a client with a long token: none has too large a command.
func TestManyChannelsAreNoLargeCommand(t *testing.T) {
	const channels, most = 200, 1024
	limit := most + protocol.CommandOverhead
	name := func(i int) channel.Name { return channel.Name(fmt.Sprintf("/a/%060d", i)) }
	s := newServer(t)
	start(t, client.Options{
		URL: s.url(), Token: func(context.Context) (string, error) { return strings.Repeat("t", 3000), nil },
	}, func(r *run) {
		for i := range channels {
			r.Subscribe(client.Subscription{
				Channel: name(i), From: &message.Position{}, OnMessage: func(*message.Message, message.Epoch, bool) {},
			})
		}
	})
	fits := func(c protocol.Command) {
		t.Helper()
		if size := len(protocol.AppendCommand(nil, &c)); size > limit {
			t.Fatalf("%s has %d bytes; want at most %d", c.Op, size, limit)
		}
	}
	p := s.accept()
	c := p.expect(protocol.OpConnect)
	fits(c)
	var subs, pushes []string
	for _, m := range c.Last {
		subs = append(subs, fmt.Sprintf(`%q:{"offset":10}`, m.Channel))
	}
	p.helloOf(c, epochOne, strings.Join(subs, ","), most)
	for range channels - len(c.Last) {
		c := p.expect(protocol.OpSubscribe)
		p.reply(protocol.AppendSubscribed(nil, c.ID, 10, 1))
	}
	for i := range channels + 1 { // two of the first are half a window: all is acknowledged at once
		m := message.Message{Channel: name(i % channels), Offset: message.Offset(11 + i), Time: 1, Data: []byte("1")}
		pushes = append(pushes, string(protocol.AppendMessage(nil, &m, false)))
	}
	p.send(pushes...)
	for acked := map[channel.Name]bool{}; len(acked) < channels; {
		c := p.expect(protocol.OpAck)
		fits(c)
		for _, m := range c.Last {
			acked[m.Channel] = true
		}
	}
}

func TestTheApplicationAcknowledges(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url(), Manual: true})
	r.listen(nil)
	p, c := s.welcome("")
	if !c.Manual {
		t.Error("connect without ack manual")
	}
	c = p.expect(protocol.OpSubscribe)
	p.reply(protocol.AppendSubscribed(nil, c.ID, 10, 1))
	p.send(push(11, 10), push(12, 11), push(13, 12))
	r.expect(message.Position{Epoch: 1, Offset: 10}, offset(11), offset(12), offset(13))
	r.Ack("/a", 99) // was never handed over
	r.Ack("/a", 11)
	r.Ack("/a", 12)
	if c := p.expect(protocol.OpAck); c.Last[0].Offset != 12 {
		t.Errorf("%+v; want 12", c)
	}
}

func TestFarewells(t *testing.T) {
	s, r, p := live(t)
	p.send(string(protocol.AppendBye(nil, protocol.ByeRestart, time.Millisecond)))
	p, c := s.welcome(`"/a":{"offset":10}`)
	if c.Session != "s1" {
		t.Errorf("restart: %+v; want the same session", c)
	}
	p.send(string(protocol.AppendBye(nil, protocol.ByeDisplaced, 0)))
	p, c = s.welcome("")
	if c.Session != "" || len(c.Last) != 1 {
		t.Errorf("displaced: %+v; want a session of its own, and the positions", c)
	}
	p.expect(protocol.OpSubscribe)
	p.send(string(protocol.AppendBye(nil, message.RateLimited, 0)))
	if e, ok := errors.AsType[*client.ByeError](r.end()); !ok || e.Code != message.RateLimited {
		t.Errorf("rate limited: %v; want that Run ends", r.end())
	}
	if err := r.Subscribe(client.Subscription{Channel: "/b"}); err != client.ErrClosed {
		t.Errorf("subscribe after the end: %v", err)
	}
}

func TestATokenIsReplacedOnce(t *testing.T) {
	s := newServer(t)
	tokens := make(chan string, 3)
	tokens <- "old"
	tokens <- "new"
	r := start(t, client.Options{
		URL: s.url(), Token: func(context.Context) (string, error) { return <-tokens, nil },
	})
	expired := message.Errorf(message.Unauthorized, "the token has expired")
	for _, want := range []string{"old", "new"} {
		p := s.accept()
		c := p.expect(protocol.OpConnect)
		if c.Token != want {
			t.Errorf("token %q; want %q", c.Token, want)
		}
		p.reply(protocol.AppendError(nil, c.ID, expired))
	}
	if e := message.AsError(r.end()); e.Code != message.Unauthorized {
		t.Errorf("%v; want unauthorized", e)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []client.Options{{}, {URL: "localhost:8080"}, {URL: "ftp://x"}, {URL: "http://"}, {URL: "http://x", Client: "c"}} {
		if _, err := client.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// The chain holds behind a gap and after a resume as well.
func TestTheChainBehindAGapAndAResume(t *testing.T) {
	s, r, p := live(t)
	again := func(after message.Offset) {
		t.Helper()
		c := p.expect(protocol.OpSubscribe)
		if c.Position() != position(epochOne, after) {
			t.Fatalf("%+v; want a subscription after %d", c, after)
		}
		p.reply(protocol.AppendSubscribed(nil, c.ID, 200, 1))
	}
	gap := func(after, to message.Offset) client.Gap {
		p.send(string(protocol.AppendGap(nil, "/a", after, to, "expired")))
		return client.Gap{Channel: "/a", After: after, To: to, Epoch: position(epochOne, 0).Epoch, Reason: "expired"}
	}
	expired := gap(10, 100)
	p.send(push(103, 102))
	again(100)
	p.send(push(102, 60), push(103, 102))
	r.expect(expired, offset(102), offset(103))
	// A gap that begins behind the position: something before it is missing.
	gap(110, 150)
	again(103)
	expired = gap(103, 150)
	p.send(push(160, 140))
	r.expect(expired, offset(160))
	p.cut()
	p, _ = s.welcome(`"/a":{"offset":170}`)
	p.send(push(160, 140), push(170, 165))
	again(160)
	p.send(push(165, 160), push(170, 165))
	r.expect(offset(165), offset(170))
}

// Behind the oldest message the chain is checked.
func TestBehindTheOldestTheChainHolds(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	p, _ := s.welcome("")
	r.listen(&message.Position{})
	c := p.expect(protocol.OpSubscribe)
	if !c.HasAfter || c.After != 0 || c.Epoch != 0 {
		t.Fatalf("%+v", c)
	}
	p.reply(protocol.AppendSubscribed(nil, c.ID, 9, 1))
	p.send(push(7, 3), push(7, 3), push(12, 9))
	r.expect(offset(7))
	if c = p.expect(protocol.OpSubscribe); c.Position() != position(epochOne, 7) {
		t.Fatalf("%+v; want after 7", c)
	}
	p.reply(protocol.AppendSubscribed(nil, c.ID, 12, 1))
	p.send(push(9, 7), push(12, 9))
	r.expect(offset(9), offset(12))
}

// A chain that stays broken is not asked for at full speed.
func TestABrokenChainIsAskedForSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled := make(chan net.Conn, 1)
		r := start(t, client.Options{URL: "http://pipe", Dial: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			dialled <- there
			return here, nil
		}})
		r.listen(nil)
		p := upgrade(t, <-dialled)
		p.hello(p.expect(protocol.OpConnect), epochOne, "")
		began := time.Now()
		for n := range 5 {
			p.reply(protocol.AppendSubscribed(nil, p.expect(protocol.OpSubscribe).ID, 10, 1))
			if d := time.Since(began); (d > 0) != (n > 3) {
				t.Errorf("subscription %d after %v", n, d)
			}
			p.send(push(15, 14))
		}
		go p.expectClose()
		r.cancel()
		r.end()
	})
}

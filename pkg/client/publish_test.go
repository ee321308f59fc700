package client_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

type answer struct {
	receipt client.Receipt
	err     error
}

// publish publishes in order and gives the answers as they come.
func (r *run) publish(p client.Publication) chan answer {
	r.t.Helper()
	p.Channel = "/a"
	answers := make(chan answer, 1)
	err := r.PublishAsync(r.t.Context(), p, func(rc client.Receipt, err error) { answers <- answer{rc, err} })
	if err != nil {
		r.t.Fatal(err)
	}
	return answers
}

func refuse(p *peer, c protocol.Command, code message.Code) {
	p.reply(protocol.AppendError(nil, c.ID, message.Errorf(code, "no")))
}

func accept(p *peer, c protocol.Command, offset message.Offset) {
	p.reply(protocol.AppendPublished(nil, c.ID, offset, 1, false))
}

func TestPublishIsTriedAgainWithTheSameKey(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	p, _ := s.welcome("")
	answers := r.publish(client.Publication{Data: []byte("1")})
	first := p.expect(protocol.OpPublish)
	if len(first.Key) < 20 || first.First == 0 {
		t.Fatalf("%+v; want a key and the time of the first try", first)
	}
	same := func(c protocol.Command) protocol.Command {
		t.Helper()
		if c.Key != first.Key || c.First != first.First || string(c.Data) != "1" {
			t.Fatalf("%+v; want the same as %+v", c, first)
		}
		return c
	}
	p.cut() // the answer is lost
	p, _ = s.welcome("")
	refuse(p, same(p.expect(protocol.OpPublish)), message.Unknown)
	refuse(p, same(p.expect(protocol.OpPublish)), message.Unavailable)
	refuse(p, same(p.expect(protocol.OpPublish)), message.Internal)
	p.reply(protocol.AppendPublished(nil, same(p.expect(protocol.OpPublish)).ID, 7, 1, true))
	want := answer{client.Receipt{Offset: 7, Epoch: 1, Duplicate: true}, nil}
	if got := <-answers; got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
}

func TestARefusalIsFinal(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	p, _ := s.welcome("")
	answers := r.publish(client.Publication{Data: []byte("1"), Key: "k", ContentType: "text/plain"})
	c := p.expect(protocol.OpPublish)
	if c.Key != "k" || !c.Binary {
		t.Errorf("%+v", c)
	}
	refuse(p, c, message.Forbidden)
	if a := <-answers; message.CodeOf(a.err) != message.Forbidden {
		t.Errorf("%+v; want forbidden", a)
	}
	large := r.publish(client.Publication{Data: make([]byte, 80<<10), ContentType: "x/y"})
	if a := <-large; message.CodeOf(a.err) != message.TooLarge {
		t.Errorf("%v; want too_large, without asking the server", a.err)
	}
}

// A refusal is about one try: whether an earlier one without an answer was stored, two
// codes say, and of no other may it be taken for sure.
func TestARefusalAfterATryWithoutAnAnswer(t *testing.T) {
	lost := func(s *server, p *peer, _ protocol.Command) *peer {
		p.cut()
		p, _ = s.welcome("")
		return p
	}
	answered := func(code message.Code) func(*server, *peer, protocol.Command) *peer {
		return func(_ *server, p *peer, c protocol.Command) *peer { refuse(p, c, code); return p }
	}
	for _, test := range []struct {
		name  string
		first func(*server, *peer, protocol.Command) *peer
		then  message.Code
		maybe bool
	}{
		{"lost, expired", lost, message.KeyExpired, true},
		{"lost, forbidden", lost, message.Forbidden, true},
		{"lost, conflict", lost, message.Conflict, false},
		{"lost, out of order", lost, message.OutOfOrder, false},
		{"unknown, expired", answered(message.Unknown), message.KeyExpired, true},
		{"internal, forbidden", answered(message.Internal), message.Forbidden, true},
		{"unavailable, forbidden", answered(message.Unavailable), message.Forbidden, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			r := start(t, client.Options{URL: s.url()})
			p, _ := s.welcome("")
			answers := r.publish(client.Publication{Data: []byte("1")})
			p = test.first(s, p, p.expect(protocol.OpPublish))
			refuse(p, p.expect(protocol.OpPublish), test.then)
			a := <-answers
			if message.CodeOf(a.err) != test.then || errors.Is(a.err, client.ErrMaybeStored) != test.maybe {
				t.Errorf("%v; want %s, and that it may be stored: %v", a.err, test.then, test.maybe)
			}
		})
	}
}

func TestNothingOvertakes(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	p, _ := s.welcome("")
	one := r.publish(client.Publication{Data: []byte("1"), Key: "k1"})
	two := r.publish(client.Publication{Data: []byte("2"), Key: "k2", Prev: "k1"})
	three := r.publish(client.Publication{Data: []byte("3"), Key: "k3", Prev: "k2"})
	c1, c2, c3 := p.expect(protocol.OpPublish), p.expect(protocol.OpPublish), p.expect(protocol.OpPublish)
	if c2.Prev != "k1" || c3.Prev != "k2" {
		t.Fatalf("%+v %+v; want a chain", c2, c3)
	}
	refuse(p, c1, message.Unavailable)
	refuse(p, c2, message.OutOfOrder)
	refuse(p, c3, message.OutOfOrder)
	c1 = p.expect(protocol.OpPublish)
	accept(p, c1, 1)
	c2 = p.expect(protocol.OpPublish)
	if c1.Key != "k1" || c2.Key != "k2" {
		t.Fatalf("%s, then %s", c1.Key, c2.Key)
	}
	refuse(p, c2, message.Conflict)
	c3 = p.expect(protocol.OpPublish)
	refuse(p, c3, message.OutOfOrder)
	if a := <-one; a.err != nil {
		t.Error(a.err)
	}
	if a := <-two; message.CodeOf(a.err) != message.Conflict {
		t.Error(a.err)
	}
	if a := <-three; message.CodeOf(a.err) != message.OutOfOrder {
		t.Error(a.err)
	}
}

func TestWhatWaitsIsAnsweredAtTheEnd(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url(), MaxPending: 1})
	p, _ := s.welcome("")
	waiting := r.publish(client.Publication{Data: []byte("1")})
	p.expect(protocol.OpPublish)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Publish(ctx, client.Publication{Channel: "/a", Data: []byte("2")}); err != context.Canceled {
		t.Errorf("beyond MaxPending: %v; want that it waits", err)
	}
	r.cancel()
	if a := <-waiting; a.err != client.ErrClosed {
		t.Errorf("%+v", a)
	}
	r.end()
	if _, err := r.Publish(t.Context(), client.Publication{Channel: "/a", Data: []byte("3")}); err != client.ErrClosed {
		t.Errorf("after the end: %v", err)
	}
}

// What was never sent is certainly not stored, other than what was.
func TestWhatWasNeverSentIsNotStored(t *testing.T) {
	s := newServer(t)
	r := start(t, client.Options{URL: s.url()})
	p, _ := s.welcome("")
	sent := r.publish(client.Publication{Data: []byte("1")})
	p.expect(protocol.OpPublish)
	p.cut()
	p = s.accept()
	c := p.expect(protocol.OpConnect)
	waits := r.publish(client.Publication{Data: []byte("2")})
	p.reply(protocol.AppendError(nil, c.ID, message.Errorf(message.Forbidden, "no")))
	if a := <-sent; a.err != client.ErrClosed {
		t.Errorf("%v; want ErrClosed alone for what was sent", a.err)
	}
	if a := <-waits; a.err != client.ErrNotSent {
		t.Errorf("%v; want ErrNotSent for what was not", a.err)
	}
}

func TestPingIsAnswered(t *testing.T) {
	_, _, p := live(t)
	p.send(string(protocol.AppendPing(nil)))
	p.expect(protocol.OpPong)
}

// A server that says nothing is asked, then given up.
func TestASilentServerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled := make(chan net.Conn)
		r := start(t, client.Options{URL: "http://pipe", Dial: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			dialled <- there
			return here, nil
		}})
		p := upgrade(t, <-dialled)
		p.hello(p.expect(protocol.OpConnect), epochOne, "")
		began := time.Now()
		p.expect(protocol.OpPing)
		if d := time.Since(began); d != 25*time.Second {
			t.Errorf("asked after %v; want 25s", d)
		}
		next := <-dialled
		if d := time.Since(began); d.Round(time.Second) != 35*time.Second {
			t.Errorf("given up after %v; want 35s", d)
		}
		next.Close()
		r.cancel()
		p.cut()
		for {
			select {
			case c := <-dialled:
				c.Close()
			case err := <-r.ended:
				r.ended <- err
				return
			}
		}
	})
}

// Acknowledgements are lazy: one a second.
func TestAcksAreLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := piped(t, client.Options{})
		began := time.Now()
		p.send(push(11, 10))
		if c := p.expect(protocol.OpAck); c.Last[0].Offset != 11 || time.Since(began) != time.Second {
			t.Errorf("%+v after %v", c, time.Since(began))
		}
		go p.expectClose()
		r.cancel()
		r.end()
	})
}

// piped brings a client to the subscription of /a at offset 10, over a pipe: for a
// bubble of synctest.
func piped(t *testing.T, o client.Options) (*run, *peer) {
	t.Helper()
	dialled := make(chan net.Conn, 1)
	o.URL = "http://pipe"
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		dialled <- there
		return here, nil
	}
	r := start(t, o)
	r.listen(nil)
	p := upgrade(t, <-dialled)
	p.hello(p.expect(protocol.OpConnect), epochOne, "")
	p.reply(protocol.AppendSubscribed(nil, p.expect(protocol.OpSubscribe).ID, 10, 1))
	return r, p
}

// What the application has acknowledged is said behind a subscription that was being
// repeated when it was due.
func TestAcksBehindASubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := piped(t, client.Options{Manual: true})
		p.send(push(11, 10), push(15, 14))
		c := p.expect(protocol.OpSubscribe)
		r.Ack("/a", 11)
		time.Sleep(10 * time.Second)
		p.reply(protocol.AppendSubscribed(nil, c.ID, 15, 1))
		if c := p.expect(protocol.OpAck); c.Last[0] != (protocol.Mark{Channel: "/a", Offset: 11}) {
			t.Errorf("%+v", c)
		}
		go p.expectClose()
		r.cancel()
		r.end()
	})
}

// expectClose reads until the client has gone.
func (p *peer) expectClose() {
	buf := make([]byte, 100)
	for {
		if _, err := p.conn.Read(buf); err != nil {
			return
		}
	}
}

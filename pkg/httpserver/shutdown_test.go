package httpserver_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What is in flight is answered, what has no request is closed, and nothing more
// is accepted.
func TestShutdown(t *testing.T) {
	r := newRig(t)
	inFlight, idle, begun, silent, parked := r.dial(), r.dial(), r.dial(), r.dial(), r.dial()
	parked.send(handshake)
	parked.wantText(switched)
	idle.send(get("/hello"))
	idle.want(200, "hello")
	inFlight.send(get("/wait"))
	<-r.waiting
	begun.send("GET /hel")
	r.open(3) // begun, silent and parked
	r.turn()
	stopped := make(chan error, 1)
	go func() { stopped <- r.shutdown() }()
	begun.want(503, "the server is stopping")
	begun.wantEnd()
	silent.wantEnd()
	idle.wantEnd()
	waits := r.dial() // in the socket, for who listens there next
	waits.send(get("/hello"))
	select {
	case err := <-stopped:
		t.Fatal("the request in flight was not waited for:", err)
	default:
	}
	close(r.wait)
	answer := inFlight.want(200, "waited")
	if !answer.Close {
		t.Error("the last answer does not say that the connection ends")
	}
	inFlight.wantEnd()
	must(t, <-stopped)
	parked.send("still there")
	parked.wantText("still there")

	nc, err := r.listener.Accept()
	must(t, err)
	next := &http.Server{Handler: http.NotFoundHandler()}
	var serving sync.WaitGroup
	serving.Go(func() { next.Serve(&one{nc: nc}) })
	waits.want(404, "")
	must(t, next.Close())
	serving.Wait()
}

// one is the listener of a single connection.
type one struct{ nc net.Conn }

func (l *one) Accept() (nc net.Conn, err error) {
	if nc, l.nc = l.nc, nil; nc == nil {
		return nil, net.ErrClosed
	}
	return nc, nil
}
func (*one) Close() error   { return nil }
func (*one) Addr() net.Addr { return &net.TCPAddr{} }

// While a stop is under way, requests on open connections are still answered, but
// nothing begins that would have to be ended again.
func TestNothingIsUpgradedWhileStopping(t *testing.T) {
	r := newRig(t)
	early, second, third := r.dial(), r.dial(), r.dial()
	r.open(3)
	second.send(get("/hello"))
	second.want(200, "hello")
	r.server.Unlisten()
	r.server.Unlisten()
	early.send(handshake)
	early.want(503, "the server is stopping")
	early.wantEnd()
	second.send(get("/hello") + handshake)
	second.want(200, "hello")
	second.want(503, "the server is stopping")
	second.wantEnd()
	third.send(get("/hello"))
	third.want(200, "hello")
	if err := r.server.Listen(r.listener); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// A stop that meets a storm of requests answers each whole or not at all.
func TestShutdownInAStorm(t *testing.T) {
	r := newRig(t)
	answered := make(chan struct{}, 1000)
	var storm sync.WaitGroup
	for range 8 {
		storm.Go(func() {
			for {
				nc, err := net.Dial("tcp", r.listener.Addr().String())
				if err != nil {
					return
				}
				p := &peer{t: t, conn: nc}
				_, _ = nc.Write([]byte(get("/hello")))
				text := p.all()
				nc.Close()
				if text == "" {
					return
				}
				if !strings.HasPrefix(text, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(text, "\r\n\r\nhello") {
					t.Errorf("half an answer: %q", text)
				}
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 100 {
		<-answered
	}
	must(t, r.shutdown())
	r.listener.Close()
	storm.Wait()
}

// all reads an answer of this test's, or nothing.
func (p *peer) all() string {
	var text []byte
	b := make([]byte, 4096)
	for !strings.HasSuffix(string(text), "\r\n\r\nhello") {
		n, err := p.conn.Read(b)
		text = append(text, b[:n]...)
		if err != nil {
			break
		}
	}
	return string(text)
}

func TestShutdownTwiceAndAtOnce(t *testing.T) {
	r := newRig(t)
	var stops sync.WaitGroup
	for range 4 {
		stops.Go(func() {
			if err := r.shutdown(); err != nil {
				t.Error(err)
			}
		})
	}
	stops.Wait()
	must(t, r.shutdown())
}

// A handler that does not come to its end is not waited for beyond the context.
func TestShutdownInTime(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.send(get("/wait"))
	<-r.waiting
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := p.statuses(); len(got) > 0 && !slices.Equal(got, []int{200}) {
		t.Errorf("answers %v", got)
	}
}

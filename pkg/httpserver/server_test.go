package httpserver

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A request that a loop has handed over is answered, also if a stop begins before
// net/http has looked at it.
func TestWhatWasHandedOverIsAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 100 {
		re, err := reactor.New(reactor.Options{Loops: 1})
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(Options{
			Reactor: re, Handler: http.NotFoundHandler(), UpgradePath: "/up", Logger: logrus.New(), Now: time.Now,
			Upgrade: func(*reactor.Conn, []byte) (reactor.Handler, bool) { return nil, false },
		})
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.take(accepted, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), re.Loops()[0])
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		client.Close()
		if err := re.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

package transport

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/session"
)

// A connection moves to the loop of its session while what it was sent before is
// still on its way to the peer.
func TestStreamMovesWhileItIsWritten(t *testing.T) {
	r := newRig(t, rigOptions{})
	c, _ := r.on(way{StreamPath, second}, `"token":"alice"`)
	for pings := range 60 { // so it takes more or less long to write; and a connection begins on any of the loops
		answer, err := c.post(StreamPath, strings.Repeat("{\"op\":\"ping\"}\n", pings)+
			fmt.Sprintf("{\"id\":1,\"op\":\"connect\",\"token\":\"alice\",\"session\":%q,\"secret\":%q}", c.session, c.secret))
		must(t, err)
		in := bufio.NewReader(answer.Body)
		for range pings {
			line, err := in.ReadString('\n')
			must(t, err)
			compare(t, decode(t, line), `{"op":"pong"}`)
		}
		line, err := in.ReadString('\n')
		must(t, err)
		if c.connected(decode(t, line)); !strings.Contains(line, `"resumed":true`) {
			t.Fatalf("got %s", line)
		}
		answer.Body.Close()
	}
}

// A client that takes a little again and again gets all of a large answer, though
// that lasts longer than one may take nothing at all.
func TestSlowReaderOfHTTP2(t *testing.T) {
	t.Parallel()
	const messages, size, piece = 20, 60_000, 16 << 10
	r := newRig(t, rigOptions{stall: 2 * time.Second, session: session.Limits{WindowBytes: 2 << 20}})
	for range messages {
		r.publish("/a/b", strings.Repeat("x", size))
	}
	for _, transport := range []string{PollPath, StreamPath} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			c := r.talk(way{transport, second}, nil)
			c.client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
			answer, err := c.post(transport, `{"id":1,"op":"connect","last":{"/a/b":0}}`)
			must(t, err)
			defer answer.Body.Close()
			for range messages * size / piece {
				_, err := io.CopyN(io.Discard, answer.Body, piece)
				must(t, err)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}

// Between its head and its body, an answer has nothing to write.
func TestHeadWaitsForItsBody(t *testing.T) {
	r := newRig(t, rigOptions{})
	w := httptest.NewRecorder()
	s := newStreamed(w, &down{part: r.server.parts[0]})
	s.begin(http.StatusOK, http.Header{"Content-Type": {ndjson}})
	if !s.flush() {
		t.Fatal("an answer ended before its body")
	}
	s.write([]byte("x"))
	s.flush()
	if got := w.Header().Get("Content-Type"); got != ndjson {
		t.Errorf("the body came with the type %q", got)
	}
}

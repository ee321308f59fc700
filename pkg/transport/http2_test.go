package transport

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
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

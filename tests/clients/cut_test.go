package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/orbitd/orbitd/tests/scene"
)

// A relay passes connections on to the daemon, and cuts the first one in the middle of
// the third message.
func relay(t *testing.T, to string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var cut atomic.Bool
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go pass(c, to, &cut)
		}
	}()
	return l.Addr().String()
}

func pass(c net.Conn, to string, cut *atomic.Bool) {
	defer c.Close()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		_, _ = io.Copy(up, c) // until either is closed
		up.Close()
	}()
	if cut.Swap(true) {
		_, _ = io.Copy(c, up)
		return
	}
	in, messages := bufio.NewReader(up), 0
	for {
		line, err := in.ReadBytes('\n')
		if bytes.HasPrefix(line, []byte("data: ")) && bytes.Contains(line, []byte(`"d":`)) {
			messages++
		}
		if err != nil || messages == 3 {
			_, _ = c.Write(line[:len(line)/2])
			return
		}
		_, _ = c.Write(line)
	}
}

// A library that is cut off in the middle of a message is sent it again: what it takes
// for its place does not run ahead of what it has.
func TestCutInsideAMessage(t *testing.T) {
	installed(t)
	d := scene.NewDaemon(t, "")
	d.Start()
	defer d.Stop()
	d.Ready(t.Context())
	want := []int{1, 2, 3, 4, 5}
	for _, n := range want {
		a, err := http.Post(d.URL()+"/v1/publish/kill/a", "application/json", strings.NewReader(fmt.Sprint(n)))
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	for _, library := range []string{"eventsource", "fetch-event-source", "eventsource-parser"} {
		ctx, cancel := context.WithCancel(t.Context())
		cmd, out, err := start(ctx, "node", "follow.js", library, "http://"+relay(t, d.Address)+"/v1/sse?after=0&channel=/kill/a")
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for lines := bufio.NewScanner(out); len(got) < len(want) && lines.Scan(); {
			var o struct{ D int }
			if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
				t.Error(err)
			}
			got = append(got, o.D)
			if o.D == want[len(want)-1] {
				break
			}
		}
		cancel()
		_ = cmd.Wait() // it was killed
		if !slices.Equal(got, want) {
			t.Errorf("%s was given %v", library, got)
		}
	}
}

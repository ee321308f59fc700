package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/tests/scene"
)

// python is Debian's own, whatever else is in the path: it has Debian's modules.
const python = "/usr/bin/python3"

// published is how many messages each WebSocket peer publishes.
const published = 200

// installed skips or fails a test where something is not there.
func installed(t *testing.T) {
	t.Helper()
	_, err := os.Stat("node_modules")
	if err == nil {
		err = exec.Command(python, "-c", "import websockets").Run()
	}
	switch {
	case err != nil && testing.Short():
		t.Skip("run npm ci here, and apt-get install python3-websockets")
	case err != nil:
		t.Fatal("run npm ci here, and apt-get install python3-websockets: ", err)
	}
}

// The daemon is killed while clients of others follow its channels: they come back by
// what they know of EventSource, or of orbit.v1, and are given each message once and
// in order. What the WebSocket peers publish meanwhile is stored once and in order.
func TestForeignClients(t *testing.T) {
	installed(t)
	if testing.Short() {
		t.Skip("it takes a quarter of a minute")
	}
	s := scene.New(t, 1500, 0, "")
	s.Slowly = true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Daemon.Start()
	s.Daemon.Ready(ctx)
	for _, library := range []string{"eventsource", "fetch-event-source", "eventsource-parser"} {
		follow(ctx, s, "node with "+library, "node", "follow.js", library, source(s))
	}
	curl(ctx, s)
	socket := strings.Replace(s.Daemon.URL(), "http", "ws", 1) + "/v1/ws"
	args := []string{"peer.py", "follow", socket, fmt.Sprint(published)}
	for _, ch := range scene.Channels {
		args = append(args, string(ch))
	}
	follow(ctx, s, "python3-websockets", python, args...)
	coder := &peer{Witness: s.Witness("coder/websocket"), url: socket, last: map[string]uint64{}}
	s.Go(func() { coder.run(ctx) })
	s.Publish(ctx, s.Daemon.Door(0))
	for range 6 {
		s.Advance(0.13)
		s.Follow() // else all would be kills of a daemon to which nobody has come back yet
		s.Daemon.Kill()
		s.Daemon.Start()
	}
	for _, name := range []string{"coder", "python"} {
		s.Await(name, func() int64 { return int64(len(history(s, name))) }, published)
		for i, n := range history(s, name) {
			if n != i+1 {
				t.Errorf("message %d of %s is %d", i+1, name, n)
				break
			}
		}
	}
	s.Finish(ctx, cancel)
}

// source is the URL of an event stream of all channels, from the oldest message.
func source(s *scene.Scene) string {
	query := url.Values{"after": {"0"}}
	for _, ch := range scene.Channels {
		query.Add("channel", string(ch))
	}
	return s.Daemon.URL() + "/v1/sse?" + query.Encode()
}

func start(ctx context.Context, name string, args ...string) (*exec.Cmd, io.Reader, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, out, cmd.Start()
}

// follow has a process as witness that prints objects, and comes back by itself.
func follow(ctx context.Context, s *scene.Scene, who, name string, args ...string) {
	w := s.Witness(who)
	s.Go(func() {
		cmd, out, err := start(ctx, name, args...)
		if err != nil {
			w.Failed = err
			return
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if err := w.Object(lines.Bytes()); err != nil {
				w.Failed = fmt.Errorf("%s printed %s: %w", who, lines.Text(), err)
			}
		}
		if err := cmd.Wait(); ctx.Err() == nil {
			w.Failed = fmt.Errorf("%s has ended: %w", who, err)
		}
	})
}

// curl has one curl after the other as witness, each with the id that the one before
// it had last.
func curl(ctx context.Context, s *scene.Scene) {
	w, from := s.Witness("curl"), source(s)
	s.Go(func() {
		for id := ""; ctx.Err() == nil; {
			args := []string{"--no-buffer", "--silent", "--retry", "100", "--retry-delay", "0", "--retry-connrefused", from}
			if id != "" {
				args = append(args, "--header", "Last-Event-ID: "+id)
			}
			cmd, out, err := start(ctx, "curl", args...)
			if err != nil {
				w.Failed = err
				return
			}
			if id, err = w.ReadEvents(out, id); err != nil {
				w.Failed = err
			}
			_ = cmd.Wait() // that the daemon was killed is an error
		}
	})
}

// history returns what is stored of a peer's publishes, oldest first.
func history(s *scene.Scene, name string) (numbers []int) {
	a, err := http.Get(s.Daemon.URL() + "/v1/history/kill/" + name + "?limit=256")
	if err != nil {
		return nil // the daemon starts
	}
	defer a.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var h struct{ Messages []struct{ D int } }
	if json.NewDecoder(a.Body).Decode(&h) != nil {
		return nil
	}
	for _, m := range h.Messages {
		numbers = append(numbers, m.D)
	}
	return numbers
}

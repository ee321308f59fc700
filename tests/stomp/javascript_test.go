package stomp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// converse runs a program until it has said "done". When it says "restart", the daemon
// does, and the program is told with a line.
func converse(t *testing.T, s *site, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+s.file("ca.pem"))
	var wrong strings.Builder
	cmd.Stderr = &wrong
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if last = lines.Text(); last == "restart" {
			s.restart()
			_, _ = io.WriteString(in, "restarted\n") // who has ended says why below
		}
	}
	if err := cmd.Wait(); err != nil || last != "done" {
		t.Errorf("%s %s: %v, %s\n%s", name, args, err, last, &wrong)
	}
}

// @stomp/stompjs in Node, with TLS and without: login, receipts, ack modes,
// transactions, heart-beats, a binary body of a megabyte, a restart.
func TestStompjs(t *testing.T) {
	t.Parallel()
	needs(t, "node", "-e", "require('@stomp/stompjs')")
	s := newSite(t)
	for _, version := range versions {
		converse(t, s, "node", "testdata/stompjs.js", version, "ws://"+s.address("http")+"/v1/ws")
	}
	converse(t, s, "node", "testdata/stompjs.js", "1.2", fmt.Sprintf("wss://%s/v1/ws", s.address("https")))
}

// stompit over TCP and TLS: the same, but that it reads heart-beats without a word.
func TestStompit(t *testing.T) {
	t.Parallel()
	needs(t, "node", "-e", "require('stompit')")
	s := newSite(t)
	for _, version := range versions {
		host, port, _ := net.SplitHostPort(s.address("stomp"))
		converse(t, s, "node", "testdata/stompit.js", version, host, port)
	}
	host, port, _ := net.SplitHostPort(s.address("stomps"))
	converse(t, s, "node", "testdata/stompit.js", "1.2", host, port, s.file("ca.pem"))
}

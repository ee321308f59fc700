package stomp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/orbitd/orbitd/tests/scene"
)

// needs skips a test where a program cannot be run, but fails it where all is to be
// tested: tests/run installs what it needs.
func needs(t *testing.T, name string, args ...string) {
	t.Helper()
	switch err := exec.CommandContext(t.Context(), name, args...).Run(); {
	case err != nil && testing.Short():
		t.Skipf("no %s here that runs %q; tests/run installs it", name, args)
	case err != nil:
		t.Fatalf("no %s here that runs %q; tests/run installs it", name, args)
	}
}

const (
	python = "/usr/bin/python3" // Debian's, which has python3-stomp
	ruby   = "/usr/bin/ruby"
)

// converse runs a program at whose word "restart" the daemon does.
func converse(t *testing.T, s *site, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+s.file("ca.pem"))
	scene.Converse(t, cmd, map[string]func(){"restart": s.restart})
}

// What each of the clients below does: it logs in, and sends with receipts, in
// transactions, and (but for Ruby) a megabyte that is no text. What it has not
// acknowledged in a durable subscription when the daemon restarts comes again, marked,
// before what was sent meanwhile.

// python3-stomp in each version.
func TestPython(t *testing.T) {
	t.Parallel()
	needs(t, python, "-c", "import stomp")
	s := newSite(t)
	host, port, _ := net.SplitHostPort(s.address("stomp"))
	for _, version := range versions {
		converse(t, s, python, "testdata/client.py", version, host, port)
	}
}

// ruby-stomp in each version.
func TestRuby(t *testing.T) {
	t.Parallel()
	needs(t, ruby, "-e", "require 'stomp'")
	s := newSite(t)
	host, port, _ := net.SplitHostPort(s.address("stomp"))
	for _, version := range versions {
		converse(t, s, ruby, "testdata/client.rb", version, host, port)
	}
}

// @stomp/stompjs in Node, with TLS and without. It waits for a heart-beat, too.
func TestStompjs(t *testing.T) {
	t.Parallel()
	needs(t, "node", "-e", "require('@stomp/stompjs')")
	s := newSite(t)
	for _, version := range versions {
		converse(t, s, "node", "testdata/stompjs.js", version, "ws://"+s.address("http")+"/v1/ws")
	}
	converse(t, s, "node", "testdata/stompjs.js", "1.2", fmt.Sprintf("wss://%s/v1/ws", s.address("https")))
}

// stompit over TCP and TLS.
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

package stomp_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
)

// run runs a program with a time limit, and returns what it said.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

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

// The examples of the README, as they stand there, publish what a subscriber gets.
func TestExamples(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"Python": {python, "../../examples/publish.py"},
		"Ruby":   {ruby, "../../examples/publish.rb"},
		"Go":     {"go", "run", "../../examples/publish"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			switch name {
			case "Python":
				needs(t, python, "-c", "import stomp")
			case "Ruby":
				needs(t, ruby, "-e", "require 'stomp'")
			}
			s := newSite(t)
			c := s.dial().connected("1.2")
			c.say("SUBSCRIBE\nid:1\ndestination:/chat/lobby\nreceipt:s\n\n\x00")
			c.receipt("s")
			host, port, _ := net.SplitHostPort(s.address("stomp"))
			if name == "Go" {
				run(t, command[0], append(command[1:], s.address("stomp"))...)
			} else {
				run(t, command[0], append(command[1:], host, port)...)
			}
			if f := c.hear(); !strings.Contains(string(f.Body), "hi from "+name) || f.Text("content-type") != "application/json" {
				t.Errorf("%q %q", f.Headers, f.Body)
			}
		})
	}
}

// python3-stomp in each version: login, heart-beats, ack modes, transactions, a
// binary body of a megabyte.
func TestPython(t *testing.T) {
	t.Parallel()
	needs(t, python, "-c", "import stomp")
	s := newSite(t)
	host, port, _ := net.SplitHostPort(s.address("stomp"))
	for _, version := range versions {
		if out := run(t, python, "testdata/client.py", version, host, port); !strings.HasSuffix(out, "done\n") {
			t.Errorf("%s: %s", version, out)
		}
	}
}

// ruby-stomp: receipts, acknowledgements, a transaction.
func TestRuby(t *testing.T) {
	t.Parallel()
	needs(t, ruby, "-e", "require 'stomp'")
	s := newSite(t)
	host, port, _ := net.SplitHostPort(s.address("stomp"))
	for _, version := range versions {
		if out := run(t, ruby, "testdata/client.rb", version, host, port); !strings.HasSuffix(out, "done\n") {
			t.Errorf("%s: %s", version, out)
		}
	}
}

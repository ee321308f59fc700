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

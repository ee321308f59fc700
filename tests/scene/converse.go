package scene

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Converse runs a program that says on lines of its own what is to be done, until it
// has said "done": for a line in on it does that, and answers with a line. A program
// that ends in another way fails the test, with what it wrote to its standard error.
func Converse(t testing.TB, cmd *exec.Cmd, on map[string]func()) {
	t.Helper()
	var wrong strings.Builder
	cmd.Stderr = &wrong
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		if do := on[last]; do != nil {
			do()
			fmt.Fprintln(in, "go on") // who has ended says why below
		}
	}
	if err := cmd.Wait(); err != nil || last != "done" {
		t.Fatalf("%s: %v, after %q\n%s", strings.Join(cmd.Args, " "), err, last, &wrong)
	}
}

package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	roff = regexp.MustCompile(`(?m)^\.(TH.*|I .*|IP .*|[A-Z]+ ?|[a-z]+$)|\\f[BIR]|\\\[u[0-9A-F]+\]`)
	word = regexp.MustCompile(`[A-Za-z0-9_]+`)

	fence = regexp.MustCompile("(?m)^```.*")
	title = regexp.MustCompile("^# .*")
	first = regexp.MustCompile(`(?m)^\d+\. `) // of a list
)

// TestThePageIsComplete: it says all that PROTOCOL.md says, in the same order.
func TestThePageIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.TrimSuffix(strings.TrimPrefix(Page(string(text)), head), foot)
	got := word.FindAllString(strings.NewReplacer(`\-`, "-", `\e`, `\`).Replace(roff.ReplaceAllString(page, "")), -1)
	bare := fence.ReplaceAllString(string(text), "")
	bare = strings.ReplaceAll(bare, "`", "")
	for _, mark := range []*regexp.Regexp{title, first} {
		bare = mark.ReplaceAllString(bare, "")
	}
	want := word.FindAllString(bare, -1)
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			t.Fatalf("word %d is %q and not %q: %q and not %q", i, got[i], want[i], got[max(0, i-5):i+5], want[max(0, i-5):i+5])
		}
	}
	if len(want) < 5000 || len(want) != len(got) {
		t.Errorf("%d words and not %d", len(got), len(want))
	}
}

// TestNoLineIsACommandByChance, though it begins like one.
func TestNoLineIsACommandByChance(t *testing.T) {
	got := Page("# x\n\n.. and `.` begin\n\n```\n.so /etc/passwd\n'x \\n a-b\n```\n")
	for _, want := range []string{"\n\\&.. and \\fB.\\fR begin\n", "\n\\&.so /etc/passwd\n\\&'x \\en a\\-b\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if slices.Contains(strings.Split(got, "\n"), ".so /etc/passwd") {
		t.Error(got)
	}
}

package httpapi

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestVectors carries out the calls of PROTOCOL.md, section 8.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("../../PROTOCOL.md")
	check(t, err)
	_, rest, _ := strings.Cut(string(text), "```text call\n")
	block, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("PROTOCOL.md has no vectors of calls")
	}
	url := serveRules(t, map[string]string{"/chat/**": "*", "/closed/**": "user:nobody"}, 0)
	for line := range strings.Lines(block) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 5)
		status, err := strconv.Atoi(f[0])
		check(t, err)
		c := call{method: f[2], path: f[3], status: status, want: `{"error":{"code":"` + f[1] + `"`}
		switch {
		case status == http.StatusNoContent:
			c.want = ""
		case f[1] == "-":
			c.want = `"epoch":"`
		}
		if len(f) == 5 {
			c.body = f[4]
		}
		c.do(t, url)
	}
}

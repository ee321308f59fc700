package httpapi

import (
	"os"
	"regexp"
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
		if f[1] == "-" {
			c.want = `"epoch":"`
		}
		if len(f) == 5 {
			c.body = f[4]
		}
		c.do(t, url)
	}
}

// TestStatusTable compares the table of PROTOCOL.md with the codes' statuses.
func TestStatusTable(t *testing.T) {
	text, err := os.ReadFile("../../PROTOCOL.md")
	check(t, err)
	_, table, _ := strings.Cut(string(text), "| code | status |\n")
	told := map[string]int{}
	for line := range strings.Lines(table) {
		row := regexp.MustCompile("^\\| (`.*`) \\| (\\d+)").FindStringSubmatch(line)
		if row == nil {
			continue
		}
		for _, code := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			told[code[1]], err = strconv.Atoi(row[2])
			check(t, err)
		}
	}
	for code, want := range status {
		if told[string(code)] != want {
			t.Errorf("%s: PROTOCOL.md says %d, and it is %d", code, told[string(code)], want)
		}
	}
	if len(told) != len(status) {
		t.Errorf("PROTOCOL.md has %d codes, there are %d", len(told), len(status))
	}
}

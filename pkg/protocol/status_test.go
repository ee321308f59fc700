package protocol

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
)

// TestStatusTable compares the table of PROTOCOL.md with the codes' statuses.
func TestStatusTable(t *testing.T) {
	text, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| code | status |\n")
	told := 0
	for line := range strings.Lines(table) {
		row := regexp.MustCompile("^\\| (`.*`) \\| (\\d+)").FindStringSubmatch(line)
		if row == nil {
			continue
		}
		want, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			told++
			if got := Status(message.Code(code[1])); got != want {
				t.Errorf("%s: PROTOCOL.md says %d, and it is %d", code[1], want, got)
			}
		}
	}
	if told != len(statuses) {
		t.Errorf("PROTOCOL.md has %d codes, there are %d", told, len(statuses))
	}
}

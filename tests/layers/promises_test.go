package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryPromiseHasItsTest: the table of TRANSPORTS.md has a test in every cell, and
// each of them exists.
func TestEveryPromiseHasItsTest(t *testing.T) {
	text, err := os.ReadFile("../../TRANSPORTS.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z]+)([./])([A-Za-z0-9.]+)`")
	rows, columns := 0, 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---"):
			continue
		case columns == 0:
			columns = len(cells)
			continue
		}
		if rows++; len(cells) != columns {
			t.Errorf("%d cells, want %d: %s", len(cells), columns, line)
			continue
		}
		for i, cell := range cells[1:] {
			tests := named.FindAllStringSubmatch(cell, -1)
			if len(tests) == 0 {
				t.Errorf("no test in cell %d of %s", i+1, line)
			}
			for _, m := range tests {
				if !exists(t, m[1], m[2] == "/", m[3]) {
					t.Errorf("%s does not exist", m[0])
				}
			}
		}
	}
	if rows < 10 || columns < 6 {
		t.Errorf("the table has %d rows of %d cells", rows, columns)
	}
}

// exists reports whether there is a test: a file of tests/folder, or a function of a Go
// package of that name.
func exists(t *testing.T, folder string, file bool, name string) bool {
	t.Helper()
	if file {
		_, err := os.Stat(filepath.Join("..", folder, name))
		return err == nil
	}
	for _, parent := range []string{"../../pkg", ".."} {
		files, err := filepath.Glob(filepath.Join(parent, folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
				return true
			}
		}
	}
	return false
}

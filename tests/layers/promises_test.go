package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEveryPromiseHasItsTest: the table of TRANSPORTS.md has a test in every cell, and
// each of them exists.
func TestEveryPromiseHasItsTest(t *testing.T) {
	rows := rowsOf(t, "../../TRANSPORTS.md")
	for _, cells := range rows {
		for i, cell := range cells[1:] {
			if !tested(t, cell) {
				t.Errorf("no test in cell %d of %s", i+1, cells[0])
			}
		}
	}
	if len(rows) < 10 || len(rows[0]) < 6 {
		t.Errorf("the table has %d rows of %d cells", len(rows), len(rows[0]))
	}
}

// TestReadmeSaysTheSame: README's table is rows of the one in TRANSPORTS.md, without the
// tests: a cell that has nothing else is a yes.
func TestReadmeSaysTheSame(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, cells := range rowsOf(t, "../../TRANSPORTS.md") {
		for i, cell := range cells[1:] {
			said := strings.Trim(named.ReplaceAllString(cell, ""), " :")
			if said == "" {
				said = "yes"
			}
			cells[i+1] = said
		}
		_, rest, _ := strings.Cut(string(text), "\n| "+cells[0]+" |")
		line, _, _ := strings.Cut(rest, "\n")
		if line == "" {
			continue
		}
		if want := " " + strings.Join(cells[1:], " | ") + " |"; line != want {
			t.Errorf("README says of %q%s, want%s", cells[0], line, want)
		}
		found++
	}
	if found < 10 {
		t.Errorf("README has %d of the rows", found)
	}
}

// TestEveryRequirementHasItsTest: what STOMP asks for is numbered, names its versions,
// and has tests that exist.
func TestEveryRequirementHasItsTest(t *testing.T) {
	rows := rowsOf(t, "../stomp/requirements.md")
	of := map[string]int{}
	for i, cells := range rows {
		if cells[0] != strconv.Itoa(i+1) || cells[3] != "must" && cells[3] != "should" || !tested(t, cells[5]) {
			t.Errorf("not number %d with must or should and a test: %s", i+1, strings.Join(cells, " | "))
		}
		for _, version := range strings.Fields(cells[1]) {
			of[version]++
		}
	}
	if len(of) != 3 || of["1.0"] < 20 || of["1.1"] < 40 || of["1.2"] < 50 {
		t.Errorf("requirements by version: %v", of)
	}
}

// TestEveryAttackHasItsTest: the table of SECURITY.md names tests that exist.
func TestEveryAttackHasItsTest(t *testing.T) {
	rows := rowsOf(t, "../../SECURITY.md")
	for _, cells := range rows {
		if !tested(t, cells[2]) {
			t.Errorf("no test of %s", cells[0])
		}
	}
	if len(rows) < 30 {
		t.Errorf("the table has %d rows", len(rows))
	}
}

// rowsOf returns the rows of a document's tables, which have the same columns.
func rowsOf(t *testing.T, path string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := ""
	columns := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || line == header:
			continue
		case header == "":
			header, columns = line, len(cells)
			continue
		}
		if len(cells) != columns {
			t.Errorf("%d cells, want %d: %s", len(cells), columns, line)
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

var named = regexp.MustCompile("`([a-z]+)([./])([A-Za-z0-9.]+)`")

// tested reports whether a cell names tests, each of which must exist.
func tested(t *testing.T, cell string) bool {
	t.Helper()
	tests := named.FindAllStringSubmatch(cell, -1)
	for _, m := range tests {
		if !exists(t, m[1], m[2] == "/", m[3]) {
			t.Errorf("%s does not exist", m[0])
		}
	}
	return len(tests) > 0
}

// exists reports whether there is a test: a file of tests/folder, or a function of a Go
// package of that name.
func exists(t *testing.T, folder string, file bool, name string) bool {
	t.Helper()
	if file {
		_, err := os.Stat(filepath.Join("..", folder, name))
		return err == nil
	}
	for _, parent := range []string{"../../pkg", "../../pkg/auth", "../../pkg/stomp", ".."} {
		files, err := filepath.Glob(filepath.Join(parent, folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if regexp.MustCompile(`\nfunc ` + name + `\([tf] \*testing\.[TF]\)`).Match(text) {
				return true
			}
		}
	}
	return false
}

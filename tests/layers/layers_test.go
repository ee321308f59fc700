// Package layers checks that imports point down the layer table that
// ARCHITECTURE.md shows.
package layers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/orbitd/orbitd/"

// A pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
}

// table reads the layers out of ARCHITECTURE.md: the rows of the table whose
// header begins with "| layer |".
func table(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	layers := map[string]int{}
	inside := false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		switch {
		case strings.HasPrefix(line, "| layer |"):
			inside = true
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside && len(cells) > 3 && !strings.Contains(cells[1], "---"):
			var layer int
			if _, err := fmt.Sscan(cells[1], &layer); err != nil {
				t.Fatalf("layer %q: %v", cells[1], err)
			}
			for name := range strings.SplitSeq(cells[2], "`") {
				if name = strings.TrimSuffix(name, "/"); strings.Contains(name, "/") || name == "js" {
					layers[name] = layer
				}
			}
		}
	}
	if len(layers) < 10 {
		t.Fatalf("ARCHITECTURE.md's layer table has only %d packages", len(layers))
	}
	return layers
}

func packages(t *testing.T) (all []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// sideways are the imports within a layer that the table's text allows, as
// prefixes of importer and imported.
var sideways = [][2]string{
	{"pkg/session", "pkg/broker"}, {"pkg/session", "pkg/hub"}, {"pkg/broker", "pkg/hub"},
	{"pkg/engine/", "pkg/engine"}, {"pkg/engine/local", "pkg/seglog"},
	{"pkg/auth/", "pkg/auth"}, {"pkg/config", "pkg/acl"},
	{"pkg/seglog", "pkg/seglog/"}, {"cmd/orbitd", "pkg/daemon"}, {"pkg/daemon", "pkg/httpserver"}, {"pkg/daemon", "pkg/metrics"},
	{"pkg/message", "pkg/channel"},
}

func allowed(from, to string, layers map[string]int) bool {
	if layers[to] < layers[from] {
		return true
	}
	return layers[to] == layers[from] && slices.ContainsFunc(sideways, func(pair [2]string) bool {
		return strings.HasPrefix(from, pair[0]) && strings.HasPrefix(to, pair[1])
	})
}

func TestImportsPointDown(t *testing.T) {
	layers := table(t)
	for _, p := range packages(t) {
		from, ok := strings.CutPrefix(p.ImportPath, module)
		if !ok || strings.HasPrefix(from, "tests/") {
			continue
		}
		if _, known := layers[from]; !known {
			t.Errorf("%s is not in ARCHITECTURE.md's layer table", from)
			continue
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, module)
			if ours && !allowed(from, to, layers) {
				t.Errorf("%s (layer %d) imports %s (layer %d)", from, layers[from], to, layers[to])
			}
		}
	}
}

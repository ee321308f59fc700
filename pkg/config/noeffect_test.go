package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/config"
)

// TestNoEffect: what is right and does nothing is told, with its line, and what
// is not written is not.
func TestNoEffect(t *testing.T) {
	c, err := config.LoadWith("testdata/noeffect/orbitd.toml", config.Options{Getenv: environment(nil)})
	if err != nil {
		t.Fatal(err)
	}
	// git keeps no modes: everybody can read the key among the fixtures.
	told := slices.DeleteFunc(c.Warnings, func(p config.Problem) bool { return strings.Contains(p.Text, "can read") })
	for _, p := range told {
		if p.Line == 0 || p.Hint == "" || !strings.Contains(p.Text, "no effect") {
			t.Errorf("without line, hint or meaning: %v", p)
		}
	}
	golden(t, "testdata/noeffect/told.golden", told.Error())

	for _, quiet := range []string{
		"", "[server]\ncontrol = \"\"\nstomp = \"\"\norigins = [\"https://a.example\"]\n[app.chat]\norigins = [\"https://a.example\"]\n",
		"[engine]\npath = \"/e\"\nsegment_size = \"64MiB\"\nmin_free = \"1MiB\"\n",
	} {
		if c := parse(t, quiet); len(c.Warnings) > 0 {
			t.Errorf("%s: %v", quiet, c.Warnings)
		}
	}
	for _, file := range []string{"../../etc/orbitd.toml", "../../etc/demo.toml"} {
		if c, err := config.Load(file); err != nil || len(c.Warnings) > 0 {
			t.Errorf("%s: %v, %v", file, err, c.Warnings)
		}
	}
}

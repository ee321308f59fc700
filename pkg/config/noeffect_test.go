package config_test

import (
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
	for _, p := range c.NoEffect {
		if p.Line == 0 || p.Hint == "" || !strings.Contains(p.Text, "no effect") {
			t.Errorf("without line, hint or meaning: %v", p)
		}
	}
	golden(t, "testdata/noeffect/told.golden", c.NoEffect.Error())

	for _, quiet := range []string{
		"", "[server]\ncontrol = \"\"\nstomp = \"\"\norigins = [\"https://a.example\"]\n[app.chat]\norigins = [\"https://a.example\"]\n",
		"[engine]\npath = \"/e\"\nsegment_size = \"64MiB\"\nmin_free = \"1MiB\"\n",
	} {
		if c := parse(t, quiet); len(c.NoEffect) > 0 {
			t.Errorf("%s: %v", quiet, c.NoEffect)
		}
	}
	for _, file := range []string{"../../etc/orbitd.toml", "../../etc/demo.toml"} {
		if c, err := config.Load(file); err != nil || len(c.NoEffect) > 0 {
			t.Errorf("%s: %v, %v", file, err, c.NoEffect)
		}
	}
}

package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/config"
)

// BenchmarkManyRules loads 10,000 rules of 100 applications.
func BenchmarkManyRules(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "[[channel]]\nmatch = \"/app%d/room%d/**\"\nsubscribe = [\"*\"]\npublish = [\"group:a\"]\n", i%100, i)
	}
	data := []byte(text.String())
	for b.Loop() {
		if _, err := config.Parse("orbitd.toml", data, config.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

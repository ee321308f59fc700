package config

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
)

// TestShadowsAreThoseOfComparingEach compares the tree with what it replaces.
func TestShadowsAreThoseOfComparingEach(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	segments := []string{"a", "b", "$s", "*", "{user}", "x-{user}", "{user}-y", "x-a", "$s{user}"}
	found := 0
	for range 300 {
		var rules []acl.Rule
		for len(rules) < 30 {
			var text strings.Builder
			for range 1 + random.IntN(3) {
				fmt.Fprintf(&text, "/%s", segments[random.IntN(len(segments))])
			}
			if random.IntN(3) == 0 {
				text.WriteString("/**")
			}
			if p, err := channel.ParsePattern(text.String()); err == nil {
				rules = append(rules, acl.Rule{Match: p})
			}
		}
		var tree shadows
		for i := range rules {
			want := -1
			for j := range i {
				if rules[j].Shadows(&rules[i]) {
					want = j
					break
				}
			}
			if got := tree.first(rules, i); got != want {
				t.Fatalf("rule %s is covered by rule %d, and not %d of %v", rules[i].Match, want, got, rules[:i])
			}
			if want >= 0 {
				found++
			}
			tree.add(rules, i)
		}
	}
	if found < 100 {
		t.Errorf("%d rules were covered: the test tests nothing", found)
	}
}

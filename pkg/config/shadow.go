package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orbitd/orbitd/pkg/acl"
)

// checkShadows reports those of rules that are never reached, because one of
// before or an earlier one of rules covers them.
func checkShadows(doc *document, before, rules []acl.Rule) {
	all := slices.Concat(before, rules)
	var earlier shadows
	for i := range all {
		if i < len(before) {
			earlier.add(all, i)
			continue
		}
		j := earlier.first(all, i)
		earlier.add(all, i)
		if j < 0 {
			continue
		}
		doc.fail(all[i].Source.Line,
			fmt.Sprintf("channel %q: it can never match: channel %q at %s comes first and matches all that it does",
				all[i].Match, all[j].Match, all[j].Source),
			"move the narrower rule above the wider one, or remove it")
	}
}

// shadows finds among many rules the few that could cover another: to compare
// each with each takes seconds for 10,000. It is a tree of the patterns'
// segments, as they are written.
type shadows struct {
	texts map[string]*shadows // segments that stand for themselves
	wild  map[string]*shadows // and those that stand for more
	rules []int               // whose pattern ends here, in their order
}

func isWild(segment string) bool { return strings.ContainsAny(segment, "*{") }

func segmentsOf(r *acl.Rule) []string {
	return strings.Split(strings.TrimPrefix(r.Match.String(), "/"), "/")
}

func (s *shadows) add(all []acl.Rule, i int) {
	for _, segment := range segmentsOf(&all[i]) {
		children := &s.texts
		if isWild(segment) {
			children = &s.wild
		}
		if *children == nil {
			*children = map[string]*shadows{}
		}
		next := (*children)[segment]
		if next == nil {
			next = &shadows{}
			(*children)[segment] = next
		}
		s = next
	}
	s.rules = append(s.rules, i)
}

// first returns the first rule that covers the i-th, or -1.
func (s *shadows) first(all []acl.Rule, i int) int {
	best := -1
	s.visit(segmentsOf(&all[i]), func(candidates []int) {
		for _, j := range candidates {
			if best >= 0 && j > best {
				return
			}
			if all[j].Shadows(&all[i]) {
				best = j
				return
			}
		}
	})
	return best
}

// visit calls see for the rules whose pattern could cover one of the segments.
func (s *shadows) visit(segments []string, see func([]int)) {
	if len(segments) == 0 {
		see(s.rules)
		return
	}
	if rest := s.wild["**"]; rest != nil {
		see(rest.rules)
	}
	if next := s.texts[segments[0]]; next != nil {
		next.visit(segments[1:], see)
	}
	for _, next := range s.wild {
		next.visit(segments[1:], see)
	}
}

package stomp

import (
	"slices"
	"sort"

	"github.com/orbitd/orbitd/pkg/channel"
)

// few is how many subscriptions a connection looks through. More have an index, which
// costs more than they do.
const few = 8

// A table is what a connection has of subscriptions. Its zero value has none.
type table struct {
	all   []*subscription // by number
	index *index          // nil while there are few
}

// An index finds subscriptions by what names them, and counts them by application.
type index struct {
	keys map[string]*subscription
	apps map[string]int
}

// byKey returns the subscription that a client calls so, or nil.
func (t *table) byKey(key string) *subscription {
	if t.index != nil {
		return t.index.keys[key]
	}
	for _, s := range t.all {
		if s.key() == key {
			return s
		}
	}
	return nil
}

// byNumber returns the subscription of a number, or nil.
func (t *table) byNumber(n int) *subscription {
	if i := t.at(n); i < len(t.all) && t.all[i].number == n {
		return t.all[i]
	}
	return nil
}

// at returns the place of a number.
func (t *table) at(n int) int {
	return sort.Search(len(t.all), func(i int) bool { return t.all[i].number >= n })
}

// has reports whether there is a subscription to a channel of the same application.
func (t *table) has(name channel.Name) bool {
	if t.index != nil {
		return t.index.apps[name.App()] > 0
	}
	return slices.ContainsFunc(t.all, func(s *subscription) bool { return s.name.App() == name.App() })
}

// add adds one whose number is greater than all others'.
func (t *table) add(s *subscription) {
	t.all = append(t.all, s)
	switch {
	case t.index != nil:
		t.index.add(s)
	case len(t.all) > few:
		t.index = &index{map[string]*subscription{}, map[string]int{}}
		for _, s := range t.all {
			t.index.add(s)
		}
	}
}

func (x *index) add(s *subscription) {
	x.keys[s.key()] = s
	x.apps[s.name.App()]++
}

// remove removes one that is there.
func (t *table) remove(s *subscription) {
	i := t.at(s.number)
	t.all = slices.Delete(t.all, i, i+1)
	switch {
	case t.index == nil:
	case len(t.all) <= few/2:
		t.index = nil
	default:
		delete(t.index.keys, s.key())
		if app := s.name.App(); t.index.apps[app] > 1 {
			t.index.apps[app]--
		} else {
			delete(t.index.apps, app)
		}
	}
}

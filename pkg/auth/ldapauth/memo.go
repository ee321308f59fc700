package ldapauth

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// maxTexts and maxTree bound what is kept of groups; past them it is forgotten,
// which costs questions to the directory and nothing else.
const (
	maxTexts = 100_000
	maxTree  = 20_000
)

// A tree is which groups are in which, as far as it was asked lately. It may be
// used concurrently.
type tree struct {
	mu     sync.Mutex
	groups map[string]branch
}

type branch struct {
	parents []group
	found   time.Time
}

func (t *tree) get(key string, holds func(time.Time) bool) ([]group, bool) {
	t.mu.Lock()
	b, ok := t.groups[key]
	t.mu.Unlock()
	return b.parents, ok && holds(b.found)
}

func (t *tree) put(key string, parents []group, found time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.groups == nil || len(t.groups) >= maxTree {
		t.groups = make(map[string]branch)
	}
	t.groups[key] = branch{parents, found}
}

// texts keeps each name of a group once, however many users are in it. It may be
// used concurrently.
type texts struct {
	mu  sync.Mutex
	all map[string]string
}

// sorted returns the names in order.
func (t *texts) sorted(names map[string]struct{}) []string {
	list := slices.Sorted(maps.Keys(names))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil || len(t.all) >= maxTexts {
		t.all = make(map[string]string)
	}
	for i, name := range list {
		kept, ok := t.all[name]
		if !ok {
			t.all[name], kept = name, name
		}
		list[i] = kept
	}
	return list
}

package main

import (
	"slices"
	"testing"
)

// Each bug can be planted: the code has the one place for it that it had.
func TestPlant(t *testing.T) {
	t.Chdir("../..")
	for _, b := range slices.Concat(bugs, ldapBugs, stompBugs) {
		if _, err := b.plant(t.TempDir()); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}

package stomp

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
)

// A table finds what was added and not removed, whether it has an index or not.
func TestTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var subs table
	there := map[string]*subscription{}
	indexed, looked := 0, 0
	for n := range 5000 {
		growing := n/20%2 == 0
		name := channel.Name(fmt.Sprintf("/app%d/%d", random.IntN(12), random.IntN(3)))
		id := fmt.Sprint(random.IntN(30))
		if id == "0" {
			id = "" // then the channel is what it is called
		}
		s := &subscription{id: id, name: name, number: n}
		if old := there[s.key()]; old == nil && growing {
			subs.add(s)
			there[s.key()] = s
		} else if !growing && len(subs.all) > 0 {
			old := subs.all[random.IntN(len(subs.all))]
			subs.remove(old)
			delete(there, old.key())
		}
		if subs.index == nil {
			looked++
		} else {
			indexed++
		}
		if len(subs.all) != len(there) || subs.byKey(s.key()) != there[s.key()] || subs.byNumber(n+1) != nil {
			t.Fatalf("step %d: %d of %d, %v", n, len(subs.all), len(there), subs.byKey(s.key()))
		}
		apps := map[string]bool{}
		for key, s := range there {
			apps[s.name.App()] = true
			if subs.byKey(key) != s || subs.byNumber(s.number) != s {
				t.Fatalf("step %d: %s is not there", n, key)
			}
		}
		if subs.has(name) != apps[name.App()] {
			t.Fatalf("step %d: %s: %v", n, name.App(), subs.has(name))
		}
	}
	if indexed < 500 || looked < 500 {
		t.Errorf("%d steps with an index and %d without", indexed, looked)
	}
}

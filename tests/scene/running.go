package scene

import (
	"fmt"
	"strings"
	"sync"

	"github.com/orbitd/orbitd/pkg/channel"
)

const maxFaults = 20 // that are told

// A Running checks deliveries as they come, of channels on each of which one
// publisher counts from 1: an hour of them would not be kept. It may be shared.
type Running struct {
	mu                                   sync.Mutex
	last                                 map[channel.Name]int64
	delivered, lost, repeated, reordered int64
	faults                               []string
}

// String is the verdict as one line.
func (r *Running) String() string {
	return fmt.Sprintf("delivered=%d lost=%d repeated=%d reordered=%d", r.delivered, r.lost, r.repeated, r.reordered)
}

// Err returns what is wrong, nil if nothing is and something was delivered.
func (r *Running) Err() error {
	if r.delivered == 0 || len(r.faults) > 0 {
		return fmt.Errorf("%s\n%s", r, strings.Join(r.faults, "\n"))
	}
	return nil
}

func (r *Running) take(who string, ch channel.Name, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[channel.Name]int64{}
	}
	last, known := r.last[ch]
	switch {
	case !known || n == last+1:
	case n > last:
		r.lost += n - last - 1
		r.faultLocked("%s: %d of %s follows %d", who, n, ch, last)
	case n == last:
		r.repeated++
		r.faultLocked("%s: %d of %s came again", who, n, ch)
	default:
		r.reordered++
		r.faultLocked("%s: %d of %s came behind %d", who, n, ch, last)
	}
	r.delivered++
	r.last[ch] = max(n, last)
}

// skip has any number of a channel be right next.
func (r *Running) skip(ch channel.Name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, ch)
}

// Fault notes what is wrong.
func (r *Running) Fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faultLocked(format, args...)
}

func (r *Running) faultLocked(format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// Add adds what another has seen, which has ended.
func (r *Running) Add(other *Running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delivered += other.delivered
	r.lost += other.lost
	r.repeated += other.repeated
	r.reordered += other.reordered
	r.faults = append(r.faults, other.faults[:min(len(other.faults), maxFaults-len(r.faults))]...)
}

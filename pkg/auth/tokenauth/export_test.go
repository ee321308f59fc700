package tokenauth

import (
	"time"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// ForgetMargin is for how long more is remembered what is over.
const ForgetMargin = forgetMargin

// OpenLoginsBy is OpenLogins by a wall clock that is off, as an operator may set it: by no
// passing of time.
func OpenLoginsBy(folder vfs.FS, now func() time.Time, wrong func() time.Duration) (*Logins, error) {
	return openLogins(folder, loginsClock{now: now, wrong: wrong})
}

// Bound has logins remembered of so many, and share of them of one user, at most.
func Bound(l *Logins, most, share int) {
	l.most, l.tally = most, newTally(share)
	for _, one := range l.known {
		l.tally.add(one.Of)
	}
}

// Remembered returns of how many something is remembered.
func Remembered(l *Logins) int { return len(l.known) }

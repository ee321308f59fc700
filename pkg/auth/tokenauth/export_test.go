package tokenauth

// Bound has logins remembered of so many, and share of them of one user, at most.
func Bound(l *Logins, most, share int) {
	l.most, l.tally = most, newTally(share)
	for _, one := range l.known {
		l.tally.add(one.Of)
	}
}

// Remembered returns of how many something is remembered.
func Remembered(l *Logins) int { return len(l.known) }

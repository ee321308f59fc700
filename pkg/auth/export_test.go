package auth

// Remembered returns how much a guard knows.
func Remembered(c *Guarded) int { return len(c.guard.young) + len(c.guard.old) }

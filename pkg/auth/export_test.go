package auth

// Remembered returns how much a guard knows.
func Remembered(c *Guarded) int { return len(c.guard.young) + len(c.guard.old) }

// Pending returns how many attempts are being judged, or wait for that.
func Pending(c *Guarded) int { return len(c.guard.pending) + len(c.guard.waiting) }

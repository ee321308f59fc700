package transport

import "time"

// A bucket limits a rate: it holds up to burst tokens and gains rate of them a
// second. The zero bucket is full.
type bucket struct {
	spent float64
	last  time.Time
}

// take takes a token, if there is one.
func (b *bucket) take(now time.Time, rate, burst int) bool {
	b.spent = max(0, b.spent-now.Sub(b.last).Seconds()*float64(rate))
	b.last = now
	if b.spent+1 > float64(burst) {
		return false
	}
	b.spent++
	return true
}

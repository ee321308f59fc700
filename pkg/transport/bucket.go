package transport

import "time"

// A bucket limits a rate: it holds up to burst tokens and gains rate of them a
// second. It is one number, since every connection has two: when it will be full
// again, in Unix nanoseconds. The zero bucket is full.
type bucket struct{ full int64 }

// take takes a token, if there is one.
func (b *bucket) take(now time.Time, rate, burst int) bool { return b.takeMany(now, rate, burst, 1) }

// takeMany takes n tokens, if there are so many.
func (b *bucket) takeMany(now time.Time, rate, burst, n int) bool {
	token := max(1, int64(time.Second)/int64(rate))
	room := token * int64(burst)
	price := token * int64(n)
	// A clock that was set back must not leave a bucket empty for longer than it
	// takes to fill.
	b.full = min(max(b.full, now.UnixNano()), now.UnixNano()+room)
	if b.full+price > now.UnixNano()+room {
		return false
	}
	b.full += price
	return true
}

// isFull reports whether no token is missing.
func (b *bucket) isFull(now time.Time) bool { return b.full <= now.UnixNano() }

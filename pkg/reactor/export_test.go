package reactor

// Limited returns o with a limit on what crosses a descriptor in one call: f is
// asked before each, on the loop, and says how many of the n bytes may; 0 is
// EAGAIN.
func Limited(o Options, f func(fd int32, n int) int) Options {
	o.limit = f
	return o
}

package reactor

// SetUrgent says whether the connection's input is read in the turn in which it comes.
// A connection that was accepted is not urgent until its handler says so: of those a
// loop reads a few in each turn, so that a crowd of newcomers, whose requests cost more
// than any message, does not get between those who are there and their messages. For as
// long as one sends more than is read at once it has its turns with those, too.
func (c *Conn) SetUrgent(on bool) {
	if on == (c.state&urgent != 0) || c.state&gone != 0 {
		return
	}
	c.rank(urgent)
}

// rank changes bits of those that say which instance watches the connection.
func (c *Conn) rank(bits state) {
	l := c.Loop()
	before := l.poll.of(c)
	c.state ^= bits
	after := l.poll.of(c)
	if before == after || int(c.fd) >= len(l.conns) || l.conns[c.fd] != c { // one on its way here is not watched yet
		return
	}
	err := l.poll.del(before, int(c.fd))
	if err == nil {
		err = l.poll.add(after, int(c.fd), c.gen, c.state.events())
	}
	if err != nil {
		c.doom(err)
	}
}

package stomp

// arenaSize is how large a piece of memory is from which small frames are cut.
const arenaSize = 32 << 10

// cut returns what build appends, cut from the arena. It may be kept.
func (p *part) cut(build func([]byte) []byte) []byte {
	if cap(p.arena)-len(p.arena) < arenaSize/8 {
		p.arena = make([]byte, 0, arenaSize)
	}
	start := len(p.arena)
	p.arena = build(p.arena)
	return p.arena[start:len(p.arena):len(p.arena)]
}

// takeSpare returns an empty slice for what a connection is to send.
func (p *part) takeSpare() [][]byte {
	n := len(p.spare)
	if n == 0 {
		return make([][]byte, 0, 4)
	}
	s := p.spare[n-1]
	p.spare = p.spare[:n-1]
	return s
}

// giveSpare takes one back.
func (p *part) giveSpare(s [][]byte) {
	clear(s)
	if len(p.spare) < 1024 && cap(s) <= 64 {
		p.spare = append(p.spare, s[:0])
	}
}

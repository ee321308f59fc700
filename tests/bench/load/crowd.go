package load

import "net/netip"

// A Crowd is connections that all behave alike and judge nothing. Whoever owns the
// loop owns it.
type Crowd struct {
	Loop *Loop
	// Says is what each begins with. Drips is what it says then, a byte at a time.
	Says, Drips string
	// Deaf ones read nothing.
	Deaf bool
	// Hears is given what one is told; nil: nobody listens.
	Hears func(c *Conn, b []byte)

	Open  int // that have been connected
	Ended int // by the server
	peers []*peer
}

type peer struct {
	crowd *Crowd
	conn  *Conn // nil before and after
	left  string
}

// Come connects n of them, and waits until they are there; step turns the loop.
func (c *Crowd) Come(n int, to netip.AddrPort, step func() error) error {
	want := c.Open + n
	for range n {
		p := &peer{crowd: c, left: c.Drips}
		c.peers = append(c.peers, p)
		if err := c.Loop.Dial(to, p); err != nil {
			return err
		}
		for c.Loop.Opening() >= 128 || len(c.peers)-c.Open >= 512 {
			if err := step(); err != nil {
				return err
			}
		}
	}
	for c.Open < want {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Len returns how many have come.
func (c *Crowd) Len() int { return len(c.peers) }

// Drip has each say one byte more.
func (c *Crowd) Drip() { c.DripSome(0, len(c.peers)) }

// DripSome has those from i to j say one byte more.
func (c *Crowd) DripSome(i, j int) {
	for _, p := range c.peers[i:j] {
		if len(p.left) > 0 && p.conn != nil {
			p.conn.Write([]byte(p.left[:1]))
			p.left = p.left[1:]
		}
	}
}

// Say has those from i to j say something.
func (c *Crowd) Say(i, j int, b []byte) {
	for _, p := range c.peers[i:j] {
		if p.conn != nil {
			p.conn.Write(b)
		}
	}
}

// Open implements Handler.
func (p *peer) Open(conn *Conn) {
	p.conn = conn
	p.crowd.Open++
	if p.crowd.Says != "" {
		conn.Write([]byte(p.crowd.Says))
	}
	if p.crowd.Deaf {
		conn.Deafen()
	}
}

// Data implements Handler.
func (p *peer) Data(conn *Conn, b []byte) int {
	if p.crowd.Hears != nil {
		p.crowd.Hears(conn, b)
	}
	return len(b)
}

// Closed implements Handler: the server may end any of them.
func (p *peer) Closed(*Conn, error) {
	if p.conn == nil {
		p.crowd.Open++ // it was ended before it was open
	}
	p.conn = nil
	p.crowd.Ended++
}

package scene

import (
	"context"
	"net"
	"sync"
)

// A Cutter makes connections and cuts them: a network that fails.
type Cutter struct {
	mu   sync.Mutex
	open []net.Conn
}

// Dial makes a connection.
func (c *Cutter) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		c.mu.Lock()
		c.open = append(c.open, conn)
		c.mu.Unlock()
	}
	return conn, err
}

// Cut closes every nth connection, without a word to the other side.
func (c *Cutter) Cut(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < len(c.open); i += n {
		c.open[i].Close()
	}
	c.open = nil
}

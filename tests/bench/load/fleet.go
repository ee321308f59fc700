package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A Fleet is the clients of one server, and what became of them.
type Fleet struct {
	loop    *Loop
	dialect Dialect
	address netip.AddrPort

	Joined   int   // clients that are connected and subscribed
	Lost     int64 // messages that a subscriber was not given,
	Repeated int64 // or not only once,
	Swapped  int64 // or behind a later one
	Received int64

	// OnDelivery is told of every first delivery.
	OnDelivery func(channel int, n uint64)

	err     error // the first failure
	skipped map[skip]bool
	scratch []byte
	reader  reader    // of subscribers
	sockets reader    // of publishers
	senders []*sender // where commands do not go up on the connection itself
	sent    int       // by them
}

// A skip is a number that a subscriber was not given when it was due.
type skip struct {
	client *Client
	n      uint64
}

// maxSkipped bounds what is remembered of a server that loses everything.
const maxSkipped = 1 << 20

// NewFleet returns a fleet without clients.
func NewFleet(l *Loop, d Dialect, address netip.AddrPort) *Fleet {
	return &Fleet{
		loop: l, dialect: d, address: address, skipped: map[skip]bool{}, OnDelivery: func(int, uint64) {},
		reader: reader{way: d.Way()},
	}
}

// AddAll dials n subscribers, not all at once, and waits until they have joined.
// nameOf tells the channel of each.
func (f *Fleet) AddAll(n int, from Start, nameOf func(i int) (channel int, name string)) ([]*Client, error) {
	clients := make([]*Client, 0, n)
	err := f.dialAll(n, func(i int) error {
		c := &Client{fleet: f, start: from, next: 1}
		c.Channel, c.name = nameOf(i)
		clients = append(clients, c)
		return f.loop.Dial(f.address, c)
	})
	return clients, err
}

// AddPublishers dials n clients that subscribe to nothing.
func (f *Fleet) AddPublishers(n int) ([]*Client, error) {
	return f.AddAll(n, FromNow, func(int) (int, string) { return -1, "" })
}

// ReturnAll has clients that were closed come back with the position that they
// began at, and waits until they have joined.
func (f *Fleet) ReturnAll(clients []*Client) error {
	return f.dialAll(len(clients), func(i int) error {
		c := clients[i]
		c.open, c.joined, c.unread = false, false, 0
		return f.loop.Dial(f.address, c)
	})
}

// dialAll dials n clients, so many at once as a listener's backlog takes.
func (f *Fleet) dialAll(n int, dial func(i int) error) error {
	want := f.Joined + n
	for i := range n {
		if err := dial(i); err != nil {
			return err
		}
		for f.loop.Opening() >= 128 || i+1-(n-(want-f.Joined)) >= 512 {
			if err := f.step(); err != nil {
				return err
			}
		}
	}
	return f.Until("all clients join", func() bool { return f.Joined >= want })
}

func (f *Fleet) step() error {
	if f.err != nil {
		return f.err
	}
	return f.loop.Turn(10 * time.Millisecond)
}

// patience is after how long a scenario has failed.
const patience = 2 * time.Minute

// Until turns the loop until done, or until a client has failed.
func (f *Fleet) Until(what string, done func() bool) error {
	err := f.loop.Until(patience, what, func() bool { return f.err != nil || done() })
	return errors.Join(f.err, err)
}

// For turns the loop for that long.
func (f *Fleet) For(d time.Duration) error {
	return errors.Join(f.loop.For(d), f.err)
}

// Missing counts as lost what subscribers did not get up to number n.
func (f *Fleet) Missing(clients []*Client, n uint64) {
	for _, c := range clients {
		if c.next <= n {
			f.Lost += int64(n + 1 - c.next)
		}
	}
}

// Verdict is what the subscribers saw of the promise.
func (f *Fleet) Verdict() string {
	return fmt.Sprintf("%d/%d/%d", f.Lost, f.Repeated, f.Swapped)
}

// Whole reports whether it was kept.
func (f *Fleet) Whole() bool { return f.Lost+f.Repeated+f.Swapped == 0 }

// Err returns the first failure.
func (f *Fleet) Err() error { return f.err }

func (f *Fleet) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// late judges a message whose turn has passed.
func (f *Fleet) late(c *Client, n uint64) {
	if !f.skipped[skip{c, n}] {
		f.Repeated++
		return
	}
	delete(f.skipped, skip{c, n})
	f.Lost--
	f.Swapped++
}

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/orbitd/orbitd/tests/bench/load"
)

// crowds are what a few clients notice of many others: the reference is orbitd itself,
// without those. tests/loads looks at the memory that they cost.
func crowds(b *bench) []scenario {
	few := fanout{channels: 1, subscribers: 100, size: 128, rate: 100, time: b.seconds(5), memory: true}
	stored := few
	stored.memory = false
	rows := func(most float64) []row {
		return []row{{What: p50, Unit: "ms"}, {What: p99, Unit: "ms", Ratio: most}}
	}
	n := b.size(1000)
	return []scenario{{
		name:   fmt.Sprintf("100 served beside %d who send slowly, or nothing, or read nothing", 9*n),
		orbitd: orbitdOnly(few.beside(slowCrowd(n))), reference: orbitdOnly(few.measure), rows: rows(2),
	}, {
		name:   fmt.Sprintf("100 served beside %d polls at once", 10*n),
		orbitd: orbitdOnly(few.beside(pollCrowd(10 * n))), reference: orbitdOnly(few.measure), rows: rows(0),
	}, {
		name:   "100 served, each message synced, beside an application that floods",
		orbitd: orbitdOnly(stored.beside(flooding)), reference: orbitdOnly(stored.measure), rows: rows(0),
	}}
}

// beside is measure with others that come before it. Those return what they do
// meanwhile.
func (o fanout) beside(others func(*site) (meanwhile func(), err error)) func(*site) (figures, error) {
	return func(s *site) (figures, error) {
		clients, err := s.AddAll(o.subscribers, load.FromNow, everybodyOn(o.name(0)))
		if err != nil {
			return nil, err
		}
		meanwhile, err := others(s)
		if err != nil {
			return nil, err
		}
		f, err := o.begin(s)
		if err != nil {
			return nil, err
		}
		f.meanwhile = meanwhile
		result, err := f.flow(o)
		if err != nil {
			return nil, err
		}
		f.missing(clients)
		return s.judged(result), nil
	}
}

// come has n of a crowd come.
func (s *site) come(n int, c *load.Crowd) error {
	c.Loop = s.loop
	return c.Come(n, s.address, func() error { return s.loop.Turn(10 * time.Millisecond) })
}

const (
	head = "Host: localhost\r\nContent-Type: application/json\r\n"
	sse  = "GET /v1/sse?channel=/memory/2 HTTP/1.1\r\n" + head + "\r\n"
)

// slowCrowd is those that take what a server has and give nothing: 9 n of them.
func slowCrowd(n int) func(*site) (func(), error) {
	return func(s *site) (func(), error) {
		all := []*load.Crowd{
			{Says: "GET /v1/history/memory/0 HTTP/1.1\r\n" + head, Drips: strings.Repeat("x-slow: 1\r\n", 100)},
			{Says: "POST /v1/publish/memory/1 HTTP/1.1\r\n" + head + "Content-Length: 1000\r\n\r\n", Drips: strings.Repeat(" ", 900)},
			{Says: "POST /v1/publish/memory/1 HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n", Drips: strings.Repeat("1\r\n \r\n", 100)},
			{Says: "GET /v1/history/memory/0 HTTP/1.1\r\n" + head + "\r\n"},
			{},
			{Says: sse, Deaf: true},
		}
		for i, size := range []int{2 * n, 2 * n, 2 * n, n, n, n} {
			if err := s.come(size, all[i]); err != nil {
				return nil, err
			}
		}
		publisher, err := s.AddPublishers(1)
		if err != nil {
			return nil, err
		}
		publisher[0].OnAccept = func() {}
		for i := range 64 { // until nobody's socket takes more
			publisher[0].Publish("/memory/2", uint64(i+1), 16<<10)
		}
		if err := s.For(2 * time.Second); err != nil {
			return nil, err
		}
		// All drip once a second, not all at once: that would keep the generator busy.
		begin, dripped, published := time.Now(), 0, uint64(0)
		return func() {
			now := time.Since(begin)
			for ; dripped < int(now.Milliseconds()); dripped++ {
				for _, c := range all[:3] {
					i, most := dripped%1000, c.Len()
					c.DripSome(i*most/1000, (i+1)*most/1000)
				}
			}
			for ; published < uint64(now.Seconds()*20); published++ { // for those that read nothing
				publisher[0].Publish("/memory/2", published+65, 16<<10)
			}
		}, nil
	}
}

// pollCrowd is n that poll at once, as soon as a second has passed: but that the
// generator reads in between.
func pollCrowd(n int) func(*site) (func(), error) {
	return func(s *site) (func(), error) {
		c := &load.Crowd{}
		body := `{"id":1,"op":"connect"}` + "\n" + `{"id":2,"op":"subscribe","channel":"/memory/1"}`
		request := fmt.Appendf(nil, "POST /v1/poll HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
		if err := s.come(n, c); err != nil {
			return nil, err
		}
		begin, said := time.Now(), 0
		return func() {
			if time.Since(begin) > time.Second && said < n {
				next := min(said+64, n)
				c.Say(said, next, request)
				said = next
			}
		}, nil
	}
}

// flooding is an application whose publishers have more under way than can be stored.
func flooding(s *site) (func(), error) {
	const publishers, inFlight, size = 16, 512, 4 << 10
	clients, err := s.AddPublishers(publishers)
	if err != nil {
		return nil, err
	}
	for i, c := range clients {
		n := uint64(0)
		again := func() {
			n++
			c.Publish(fmt.Sprintf("/flood/%d", i), n, size)
		}
		c.OnAccept, c.OnRefused = again, again
		for range inFlight {
			again()
		}
	}
	return nil, nil
}

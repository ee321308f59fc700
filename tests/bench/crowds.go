package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
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
	rows := func(most float64, more ...row) []row {
		return append([]row{{What: p50, Unit: "ms"}, {What: p99, Unit: "ms", Ratio: most}}, more...)
	}
	n := b.size(1000)
	return []scenario{{
		name:   fmt.Sprintf("100 served beside %d who send slowly, or nothing, or read nothing", 9*n),
		orbitd: orbitdOnly(few.beside("slow", n)), reference: orbitdOnly(few.measure), rows: rows(2),
	}, {
		name:   fmt.Sprintf("100 served beside %d polls at once", 10*n),
		orbitd: orbitdOnly(few.beside("polls", 10*n)), reference: orbitdOnly(few.measure),
		rows: rows(2, row{What: allAnswered, Unit: "s"}),
	}, {
		name:   "100 served, each message synced, beside an application that floods",
		orbitd: orbitdOnly(stored.beside("flood", 16)), reference: orbitdOnly(stored.measure),
		rows: rows(0, row{What: flooded, Unit: "/s", More: true}),
	}, {
		name:   "100 served, each message synced, beside an application that floods, and has a publish_rate",
		orbitd: orbitdOnly(stored.beside("bounded", 16)), reference: orbitdOnly(stored.measure),
		rows: []row{{What: p50, Unit: "ms", Ratio: 2}, {What: p99, Unit: "ms"}, {What: flooded, Unit: "/s", More: true}},
	}}
}

// Figures of crowds.
const (
	allAnswered = "until all polls are answered"
	flooded     = "accepted of the flood"
)

// crowdsBy are who may come, by name.
var crowdsBy = map[string]func(s *site, n int) (crowd, error){
	"slow": slowCrowd, "polls": pollCrowd, "flood": flooding("flood"), "bounded": flooding("bounded"),
}

// beside is measure with n others, of that name, that come before it.
func (o fanout) beside(name string, n int) func(*site) (figures, error) {
	return func(s *site) (result figures, err error) {
		clients, err := s.AddAll(o.subscribers, load.FromNow, everybodyOn(o.name(0)))
		if err != nil {
			return nil, err
		}
		f, err := o.begin(s)
		if err != nil {
			return nil, err
		}
		others, err := startCrowd(name, n, s.address)
		if err != nil {
			return nil, err
		}
		if result, err = f.flow(o); err != nil {
			return nil, errors.Join(err, others.kill())
		}
		f.missing(clients)
		more, err := others.finish()
		maps.Copy(result, more)
		return s.judged(result), err
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
func slowCrowd(s *site, n int) (crowd, error) {
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
			return crowd{}, err
		}
	}
	publisher, err := s.AddPublishers(1)
	if err != nil {
		return crowd{}, err
	}
	publisher[0].OnAccept = func() {}
	if err := s.For(2 * time.Second); err != nil { // their requests are served
		return crowd{}, err
	}
	for i := range 64 { // until nobody's socket takes more
		publisher[0].Publish("/memory/2", uint64(i+1), 16<<10)
	}
	if err := s.For(2 * time.Second); err != nil {
		return crowd{}, err
	}
	// All drip once a second, not all at once: that would keep the generator busy.
	begin, dripped, published := time.Now(), 0, uint64(0)
	return crowd{meanwhile: func() error {
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
		return nil
	}, over: nothing}, nil
}

// nothing has become of a crowd.
func nothing() (figures, error) { return nil, nil }

// pollCrowd is n that poll at once, as soon as a second has passed.
func pollCrowd(s *site, n int) (crowd, error) {
	answered, began, took := 0, time.Now().Add(time.Second), time.Duration(0)
	var wrong error
	c := &load.Crowd{Hears: func(_ *load.Conn, b []byte) {
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
			wrong = fmt.Errorf("a poll was answered: %.200q", b)
		}
		if answered++; answered == n {
			took = time.Since(began)
		}
	}}
	body := `{"id":1,"op":"connect"}` + "\n" + `{"id":2,"op":"subscribe","channel":"/memory/1"}`
	request := fmt.Appendf(nil, "POST /v1/poll HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	if err := s.come(n, c); err != nil {
		return crowd{}, err
	}
	began = time.Now().Add(time.Second)
	said := false
	return crowd{
		meanwhile: func() error {
			if time.Now().After(began) && !said {
				c.Say(0, n, request)
				said = true
			}
			if c.Ended > 0 {
				wrong = fmt.Errorf("%d of %d connections were ended", c.Ended, n)
			}
			return wrong
		},
		over: func() (figures, error) {
			err := s.Until("all polls are answered", func() bool { return answered >= n || c.Ended > 0 })
			return figures{allAnswered: took.Seconds()}, errors.Join(wrong, err)
		},
	}, nil
}

// flooding is an application with n publishers that have more under way than can be
// stored. What is refused they publish again at once.
func flooding(app string) func(s *site, n int) (crowd, error) {
	const inFlight, size = 512, 4 << 10
	return func(s *site, n int) (crowd, error) {
		clients, err := s.AddPublishers(n)
		if err != nil {
			return crowd{}, err
		}
		accepted, began := 0, time.Now()
		for i, c := range clients {
			n := uint64(0)
			again := func() {
				n++
				c.Publish(fmt.Sprintf("/%s/%d", app, i), n, size)
			}
			c.OnAccept, c.OnRefused = func() { accepted++; again() }, again
			for range inFlight {
				again()
			}
		}
		return crowd{
			meanwhile: func() error { return nil },
			over: func() (figures, error) {
				return figures{flooded: float64(accepted) / time.Since(began).Seconds()}, nil
			},
		}, nil
	}
}

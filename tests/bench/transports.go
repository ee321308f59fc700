package main

import (
	"fmt"
	"time"

	"github.com/orbitd/orbitd/tests/bench/load"
)

// atFullSpeed is a figure of transports beside perDelivery, which is of one message
// at a time.
const atFullSpeed = "CPU per delivery, full speed"

// transports compares them: idle, with one message at a time, and at full speed.
func transports(b *bench) []scenario {
	var all []scenario
	n := b.size(2000)
	_, bare := both(everyday(n, load.WebSocket, b.seconds(3)))
	bare = shared(bare, b.passes)
	for _, secure := range []bool{false, true} {
		for _, way := range []load.Way{load.WebSocket, load.Deflate, load.Stream, load.SSE, load.EventSource, load.Poll, load.StompTCP, load.StompAcked, load.StompSocket} {
			s := scenario{
				name: fmt.Sprintf("%s: %d clients", way, n), orbitd: over(way, secure, everyday(n, way, b.seconds(3))), reference: bare,
				rows: []row{
					{What: memoryEach, Unit: "B", Limit: 4000},
					{What: cpuEach, Unit: "µs"},
					{What: perDelivery, Unit: "µs"},
					{What: atFullSpeed, Unit: "µs"},
				},
			}
			if way.IsStomp() {
				s.rows[3].Ratio = 2
			}
			if secure {
				s.name, s.rows[0].Limit = fmt.Sprintf("%s, TLS: %d clients", way, n), 12_000
			}
			all = append(all, s)
		}
	}
	return all
}

// everyday connects n clients, and has messages delivered to them.
func everyday(n int, way load.Way, d time.Duration) func(*site) (figures, error) {
	one := fanout{channels: 1, subscribers: n, size: 128, rate: 10, time: d}
	switch way {
	case load.Poll:
		one.rate = 2 // a request each, for every message
	case load.Deflate:
		one.size = 1024 // smaller ones are not compressed
	}
	full := one
	full.rate, full.inFlight = 0, 16
	return func(s *site) (figures, error) {
		clients, result, err := connect(s, n, 2*time.Second)
		if err != nil {
			return nil, err
		}
		one.subscribers, full.subscribers = len(clients), len(clients)
		f, err := one.begin(s)
		if err != nil {
			return nil, err
		}
		slow, err := f.flow(one)
		if err != nil {
			return nil, err
		}
		fast, err := f.flow(full)
		if err != nil {
			return nil, err
		}
		f.missing(clients)
		result[perDelivery], result[atFullSpeed] = slow[perDelivery], fast[perDelivery]
		return s.judged(result), nil
	}
}

// shared returns m for several scenarios: it runs for the first of them.
func shared(m measure, passes int) measure {
	var had []figures
	calls := 0
	return func(b *bench) (figures, error) {
		calls++
		if len(had) < passes {
			f, err := m(b)
			had = append(had, f)
			return f, err
		}
		return had[calls%passes], nil
	}
}

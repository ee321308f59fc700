package main

import (
	"fmt"
	"time"
)

// scenarios returns what is measured, in the order of the table.
func scenarios(b *bench) []scenario {
	var all []scenario
	all = append(all, connections(b)...)
	for _, size := range []int{128, 1024} {
		for _, n := range []int{100, 1000, 10000} {
			all = append(all, fanouts(b, n, size)...)
		}
	}
	all = append(all, manyChannels(b))
	all = append(all, transports(b)...)
	all = append(all, crowds(b)...)
	all = append(all, publishing(b)...)
	return append(all, storing(b)...)
}

func (b *bench) seconds(n int) time.Duration {
	if b.quick {
		return time.Second
	}
	return time.Duration(n) * time.Second
}

func connections(b *bench) []scenario {
	n := b.size(10_000)
	own, bare := both(idle(n, b.seconds(30)))
	return []scenario{{
		name: fmt.Sprintf("%d idle connections", n), orbitd: own, reference: bare,
		rows: []row{
			{What: memoryEach, Unit: "B", Limit: 3000},
			{What: idleCPU, Unit: "% of a core"},
			{What: cpuEach, Unit: "µs"},
			{What: perSecond, Unit: "/s", More: true},
		},
	}, {
		name: fmt.Sprintf("%d idle connections with TLS", n), orbitd: secureOnly(idle(n, b.seconds(30))),
		rows: []row{
			{What: memoryEach, Unit: "B", Limit: 12_000},
			{What: idleCPU, Unit: "% of a core"},
			{What: cpuEach, Unit: "µs"},
			{What: perSecond, Unit: "/s", More: true},
		},
	}, {
		name: fmt.Sprintf("%d come back 20 messages behind", n), orbitd: orbitdOnly(comeback(n, 20)),
		rows: []row{
			{What: cpuReturn, Unit: "µs"},
			{What: allBack, Unit: "s"},
		},
	}}
}

// fanouts are the two ways of fan-out to n subscribers of one channel.
func fanouts(b *bench, n, size int) []scenario {
	n = b.size(n)
	one := fanout{channels: 1, subscribers: n, size: size, rate: max(20_000/n, 2), time: b.seconds(5)}
	full := fanout{channels: 1, subscribers: n, size: size, inFlight: 16, time: b.seconds(3)}
	if n >= 10_000 {
		full.inFlight = 4
	}
	var all []scenario
	for _, mode := range []struct {
		name  string
		run   fanout
		rows  []row
		floor float64
	}{
		{"one at a time", one, []row{{What: p50, Unit: "ms"}, {What: p99, Unit: "ms"}}, 1.5},
		{"full speed", full, []row{{What: deliveries, Unit: "/s", More: true}}, 2},
	} {
		own, bare := both(mode.run.measure)
		all = append(all, scenario{
			name: fmt.Sprintf("fan-out to %d, %d B, %s", n, size, mode.name), orbitd: own, reference: bare,
			rows: append([]row{{What: perDelivery, Unit: "µs", Ratio: mode.floor}}, mode.rows...),
		})
	}
	return all
}

func manyChannels(b *bench) scenario {
	own, bare := both(fanout{channels: b.size(1000), subscribers: 10, size: 128, rate: 1000, time: b.seconds(5)}.measure)
	return scenario{
		name: fmt.Sprintf("%d channels of 10 subscribers, 1000 messages/s", b.size(1000)), orbitd: own, reference: bare,
		rows: []row{{What: perDelivery, Unit: "µs"}, {What: p50, Unit: "ms"}, {What: p99, Unit: "ms"}},
	}
}

// publishing compares with a program that writes and syncs each message.
func publishing(b *bench) []scenario {
	d := b.seconds(3)
	rows := func(ratio float64) []row {
		return []row{{What: acceptedRate, Unit: "/s", More: true, Ratio: ratio}, {What: cpuPublish, Unit: "µs"}}
	}
	all := []scenario{
		{name: "publish over WebSocket, 1 publisher", orbitd: orbitdOnly(pipelined(1, 1, d)), rows: rows(0)},
		{name: "publish over WebSocket, 64 publishers", orbitd: orbitdOnly(pipelined(64, 1, d)), rows: rows(10)},
		{name: "publish over WebSocket, 1 publisher, 256 in flight", orbitd: orbitdOnly(pipelined(1, 256, d)), rows: rows(0)},
		{name: "publish over STOMP, 1 publisher", orbitd: backEnds(pipelined(1, 1, d)), rows: rows(0)},
		{name: "publish over STOMP, 64 publishers", orbitd: backEnds(pipelined(64, 1, d)), rows: rows(5)},
		{name: "publish over STOMP, 1 publisher, 256 in flight", orbitd: backEnds(pipelined(1, 256, d)), rows: rows(0)},
		{name: "publish over HTTP, 1 publisher", orbitd: orbitdOnly(overHTTP(1, 1, d)), rows: rows(0)},
		{name: "publish over HTTP, 64 publishers", orbitd: orbitdOnly(overHTTP(64, 1, d)), rows: rows(0)},
		{name: "publish over HTTP, 1 publisher, batches of 256", orbitd: orbitdOnly(overHTTP(1, 256, d)), rows: rows(0)},
	}
	for i := range all {
		all[i].reference = syncEach(d)
	}
	return all
}

func storing(b *bench) []scenario {
	stored := b.size(1_000_000)
	return []scenario{{
		name: "engine alone, 1024 publishers", orbitd: engineAlone(1024, b.seconds(3)),
		rows: []row{{What: storedRate, Unit: "/s", More: true}},
	}, {
		name: "start with nothing stored", orbitd: startWith(0),
		rows: []row{{What: untilReady, Unit: "s"}, {What: residentAfter, Unit: "MB", Limit: 20}},
	}, {
		name: fmt.Sprintf("start with %d stored messages", stored), orbitd: startWith(stored),
		rows: []row{{What: untilReady, Unit: "s"}, {What: residentAfter, Unit: "MB"}},
	}}
}

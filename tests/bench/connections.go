package main

import (
	"time"

	"github.com/orbitd/orbitd/tests/bench/load"
)

// Figures of connections.
const (
	memoryEach = "memory per connection"
	idleCPU    = "CPU of all"
	cpuEach    = "CPU per connect and subscribe"
	perSecond  = "connects/s"
	cpuReturn  = "CPU per client"
	allBack    = "until all are back"
)

func everybodyOn(name string) func(int) (int, string) {
	return func(int) (int, string) { return 0, name }
}

// idle measures n connections that only subscribe and answer pings.
func idle(n int, watched time.Duration) func(*site) (figures, error) {
	return func(s *site) (figures, error) {
		_, f, err := connect(s, n, 4*time.Second)
		if err != nil {
			return nil, err
		}
		used := s.watch("idle")
		if err := s.For(watched); err != nil {
			return nil, err
		}
		f[idleCPU] = 100 * used().Seconds() / watched.Seconds()
		return f, nil
	}
}

// connect subscribes n clients, beside some that come first, to channel 0, and
// measures that; they settle before their memory is looked at.
func connect(s *site, n int, settle time.Duration) ([]*load.Client, figures, error) {
	// What a server sets up with its first clients is not theirs.
	first, err := s.AddAll(10, load.FromNow, everybodyOn(channelName(0)))
	if err != nil {
		return nil, nil, err
	}
	if err := s.For(time.Second); err != nil {
		return nil, nil, err
	}
	before, begin := s.resident(), time.Now()
	used := s.watch("connect")
	clients, err := s.AddAll(n, load.FromNow, everybodyOn(channelName(0)))
	if err != nil {
		return nil, nil, err
	}
	took, connected := time.Since(begin), used()
	if err := s.For(settle); err != nil {
		return nil, nil, err
	}
	return append(first, clients...), figures{
		memoryEach: (s.resident() - before) / float64(n),
		cpuEach:    float64(connected.Nanoseconds()) / 1e3 / float64(n),
		perSecond:  float64(n) / took.Seconds(),
	}, nil
}

// comeback measures n clients that all return, having missed some messages.
func comeback(n, missed int) func(*site) (figures, error) {
	return func(s *site) (figures, error) {
		const channels = 100
		clients, err := s.AddAll(n, load.FromNow, func(i int) (int, string) { return i % channels, channelName(i % channels) })
		if err != nil {
			return nil, err
		}
		for _, c := range clients {
			c.Close()
		}
		if err := publishAll(s, channels, missed); err != nil {
			return nil, err
		}
		begin, used := time.Now(), s.watch("comeback")
		if err := s.ReturnAll(clients); err != nil {
			return nil, err
		}
		all := int64(n * missed)
		if err := s.Until("everybody has what was missed", func() bool { return s.Received >= all }); err != nil {
			return nil, err
		}
		took, returned := time.Since(begin), used()
		s.Missing(clients, uint64(missed))
		return s.judged(figures{
			cpuReturn: float64(returned.Nanoseconds()) / 1e3 / float64(n),
			allBack:   took.Seconds(),
		}), nil
	}
}

// publishAll publishes count messages on each channel, and waits until all are
// accepted.
func publishAll(s *site, channels, count int) error {
	publishers, err := s.AddPublishers(1)
	if err != nil {
		return err
	}
	p, accepted := publishers[0], 0
	p.OnAccept = func() { accepted++ }
	for n := range count {
		for ch := range channels {
			p.Publish(channelName(ch), uint64(n+1), load.Digits+112)
		}
	}
	return s.Until("all is published", func() bool { return accepted == channels*count })
}

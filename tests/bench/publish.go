package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orbitd/orbitd/tests/bench/load"
)

// Figures of publishing.
const (
	acceptedRate = "accepted/s"
	cpuPublish   = "CPU per publish"
)

// pipelined measures publishers that each have so many publishes without an answer.
func pipelined(publishers, inFlight int, d time.Duration) func(*site) (figures, error) {
	return func(s *site) (figures, error) {
		clients, err := s.AddPublishers(publishers)
		if err != nil {
			return nil, err
		}
		p := pace{site: s, channel: make([]uint64, publishers)}
		next := func(i int) {
			p.again(i, 1, func(n uint64) { clients[i].Publish(channelName(i), n, payload) })
		}
		for i, c := range clients {
			c.OnAccept = func() { p.accepted++; next(i) }
		}
		return p.run(d, func() {
			for i := range clients {
				for range inFlight {
					next(i)
				}
			}
		})
	}
}

// overHTTP measures connections that each publish one request after the other,
// of batch messages.
func overHTTP(publishers, batch int, d time.Duration) func(*site) (figures, error) {
	return func(s *site) (figures, error) {
		p := pace{site: s, channel: make([]uint64, publishers)}
		connections := make([]*load.HTTPPublisher, publishers)
		next := func(i int) {
			p.again(i, batch, func(n uint64) {
				if batch == 1 {
					connections[i].Publish(channelName(i), n, payload)
				} else {
					connections[i].PublishBatch(channelName(i), n, batch, payload)
				}
			})
		}
		for i := range connections {
			c, err := s.AddHTTP()
			if err != nil {
				return nil, err
			}
			connections[i] = c
			c.OnAccept = func(messages int) { p.accepted += messages; next(i) }
		}
		return p.run(d, func() {
			for i := range connections {
				next(i)
			}
		})
	}
}

// payload is the bytes of a message.
const payload = 128

// A pace publishes again whenever something was accepted.
type pace struct {
	*site
	channel  []uint64 // the last number of each publisher's channel
	accepted int
	ending   bool
}

// again publishes the next messages of publisher i, unless it is the end.
func (p *pace) again(i, count int, publish func(n uint64)) {
	if p.ending {
		return
	}
	n := p.channel[i] + 1
	p.channel[i] += uint64(count)
	publish(n)
}

// run measures for that long, and then has a subscriber count what is stored.
func (p *pace) run(d time.Duration, begin func()) (figures, error) {
	since, watched := time.Now(), p.watch("publish")
	begin()
	if err := p.For(d); err != nil {
		return nil, err
	}
	accepted, took, used := p.accepted, time.Since(since), watched()
	p.ending = true
	var all uint64
	for _, n := range p.channel {
		all += n
	}
	if err := p.Until("all is accepted", func() bool { return uint64(p.accepted) == all }); err != nil {
		return nil, err
	}
	if err := p.readBack(); err != nil {
		return nil, err
	}
	return p.judged(figures{
		acceptedRate: float64(accepted) / took.Seconds(),
		cpuPublish:   float64(used.Nanoseconds()) / 1e3 / float64(accepted),
	}), nil
}

// readBack subscribes to every channel from the oldest on.
func (p *pace) readBack() error {
	var all int64
	readers, err := p.AddAll(len(p.channel), load.FromOldest, func(i int) (int, string) { return i, channelName(i) })
	if err != nil {
		return err
	}
	for _, n := range p.channel {
		all += int64(n)
	}
	if err := p.Until("all that was accepted is read", func() bool { return p.Received >= all }); err != nil {
		return err
	}
	for i, n := range p.channel {
		p.Missing(readers[i:i+1], n)
	}
	return nil
}

// syncEach is the reference: a program that writes and syncs one message after
// the other.
func syncEach(d time.Duration) measure {
	return func(b *bench) (figures, error) {
		folder, err := b.temp()
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		f, err := os.Create(filepath.Join(folder, "log"))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		message, n := make([]byte, payload), 0
		begin := time.Now()
		for ; time.Since(begin) < d; n++ {
			_, written := f.Write(message)
			if err := errors.Join(written, unix.Fdatasync(int(f.Fd()))); err != nil {
				return nil, fmt.Errorf("write and sync: %w", err)
			}
		}
		return figures{acceptedRate: float64(n) / time.Since(begin).Seconds()}, nil
	}
}

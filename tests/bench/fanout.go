package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/orbitd/orbitd/tests/bench/load"
)

// Figures of fan-out.
const (
	perDelivery = "CPU per delivery"
	deliveries  = "deliveries/s"
	p50         = "latency p50"
	p99         = "latency p99"
)

// A fanout is publishers and subscribers of channels.
type fanout struct {
	channels, subscribers int // subscribers of each channel
	size                  int
	rate                  int // messages/s over all channels; 0: as fast as it goes
	inFlight              int // with rate 0: messages not delivered to all yet
	time                  time.Duration
	memory                bool // channels that are not stored: without the disk's share
}

func (o fanout) measure(s *site) (figures, error) {
	clients, err := s.AddAll(o.channels*o.subscribers, load.FromNow, func(i int) (int, string) {
		return i % o.channels, o.name(i % o.channels)
	})
	if err != nil {
		return nil, err
	}
	f, err := o.begin(s)
	if err != nil {
		return nil, err
	}
	figures, err := f.flow(o)
	if err != nil {
		return nil, err
	}
	f.missing(clients)
	return s.judged(figures), nil
}

// begin readies the publisher.
func (o fanout) begin(s *site) (*flood, error) {
	publisher, err := s.AddPublishers(1)
	if err != nil {
		return nil, err
	}
	f := &flood{fanout: o, site: s, publisher: publisher[0], channel: make([]sent, o.channels)}
	s.OnDelivery = f.delivered
	return f, s.For(200 * time.Millisecond) // the server's own start
}

// flow publishes as o says. One without a rate comes behind all that have one.
func (f *flood) flow(o fanout) (figures, error) {
	f.fanout, f.latencies = o, nil
	before, begin, watched := f.Received, time.Now(), f.watch("fanout")
	if err := f.run(); err != nil {
		return nil, err
	}
	wall, used, received := time.Since(begin), watched(), float64(f.Received-before)
	slices.Sort(f.latencies)
	return figures{
		perDelivery: float64(used.Nanoseconds()) / 1e3 / received,
		deliveries:  received / wall.Seconds(),
		p50:         f.latency(0.50), p99: f.latency(0.99),
	}, nil
}

// missing counts what clients did not get of all that was published.
func (f *flood) missing(clients []*load.Client) {
	for _, c := range clients {
		f.Missing([]*load.Client{c}, uint64(len(f.channel[c.Channel].left)))
	}
}

// name returns that of a channel.
func (o fanout) name(i int) string {
	if o.memory {
		return fmt.Sprintf("/memory/%d", i)
	}
	return channelName(i)
}

func channelName(i int) string { return fmt.Sprintf("/bench/%d", i) }

// sent is what was published on a channel, by number.
type sent struct {
	left []int32     // subscribers that have not got it yet
	at   []time.Time // for latencies
}

// A flood is a publisher and what became of its messages.
type flood struct {
	fanout
	*site
	publisher *load.Client
	channel   []sent
	next      int // channel
	onTheWay  int // messages that not everybody has yet
	latencies []time.Duration
}

// run publishes for as long as it is to, and waits until everybody has it all.
func (f *flood) run() error {
	begin := time.Now()
	for published := 0; time.Since(begin) < f.time; {
		due := f.inFlight - f.onTheWay
		if f.rate > 0 {
			due = int(time.Since(begin).Seconds()*float64(f.rate)) + 1 - published
		}
		for range due {
			f.publish()
			published++
		}
		if err := f.loop.Turn(time.Millisecond); err != nil {
			return err
		}
		if err := f.Err(); err != nil {
			return err
		}
	}
	return f.Until("everybody has everything", func() bool { return f.onTheWay == 0 })
}

func (f *flood) publish() {
	ch := &f.channel[f.next]
	ch.left = append(ch.left, int32(f.subscribers))
	if f.rate > 0 {
		ch.at = append(ch.at, time.Now())
	}
	f.onTheWay++
	f.publisher.Publish(f.name(f.next), uint64(len(ch.left)), f.size)
	f.next = (f.next + 1) % f.channels
}

// delivered runs for each delivery.
func (f *flood) delivered(channel int, n uint64) {
	ch := &f.channel[channel]
	if f.rate > 0 {
		f.latencies = append(f.latencies, f.loop.Now().Sub(ch.at[n-1]))
	}
	if ch.left[n-1]--; ch.left[n-1] == 0 {
		f.onTheWay--
	}
}

func (f *flood) latency(part float64) float64 {
	if len(f.latencies) == 0 {
		return 0
	}
	return f.latencies[int(part*float64(len(f.latencies)-1))].Seconds() * 1e3
}

package stomp

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what a part counts. Its loop owns them.
type counts struct {
	delivered, bytes uint64 // messages, ever
	redelivered      uint64 // those of them that may have been sent before
	dead             uint64 // moved to $dead, ever
	unacked          int    // messages that are to be acknowledged
}

// message counts one that is sent.
func (c *counts) message(size int, again bool) {
	c.delivered++
	c.bytes += uint64(size)
	if again {
		c.redelivered++
	}
}

// A tally is what a part has counted, as of its last tick: the loop counts for itself,
// and nobody is in its way.
type tally struct {
	delivered, bytes, redelivered, dead atomic.Uint64
	unacked                             atomic.Int64
	held                                [kinds]atomic.Int64 // records that have an owner
	members                             atomic.Int64        // of its groups
}

// publish is called by the loop at each tick.
func (p *part) publish() {
	p.tally.delivered.Store(p.count.delivered)
	p.tally.bytes.Store(p.count.bytes)
	p.tally.redelivered.Store(p.count.redelivered)
	p.tally.dead.Store(p.count.dead)
	p.tally.unacked.Store(int64(p.count.unacked))
	held, members := [kinds]int64{}, 0
	for r := range p.records {
		if !r.loaded {
			continue
		}
		held[r.kind]++
		if g, ok := r.owner.(*group); ok {
			members += len(g.members)
		}
	}
	for k, n := range held {
		p.tally.held[k].Store(n)
	}
	p.tally.members.Store(int64(members))
}

// addTo adds what is told to c.
func (t *tally) addTo(c *counts) {
	c.delivered += t.delivered.Load()
	c.bytes += t.bytes.Load()
	c.redelivered += t.redelivered.Load()
	c.dead += t.dead.Load()
	c.unacked += int(t.unacked.Load())
}

// Kept is what is stored of STOMP clients, and who has it at the moment. What has
// expired may count for a day.
type Kept struct {
	Durable, DurableConnected int // durable subscriptions
	Groups, GroupsConnected   int
	Consumers                 int // of groups
}

// Kept returns how much is kept. It is a tick old at most.
func (s *Server) Kept() Kept {
	var held [kinds]int
	k := Kept{}
	for _, p := range s.parts {
		for i := range held {
			held[i] += int(p.tally.held[i].Load())
		}
		k.Consumers += int(p.tally.members.Load())
	}
	k.DurableConnected, k.GroupsConnected = held[durableKind], held[groupKind]
	k.Durable = max(s.census.Total(int(durableKind)), k.DurableConnected)
	k.Groups = max(s.census.Total(int(groupKind)), k.GroupsConnected)
	return k
}

var _ prometheus.Collector = (*Server)(nil)

// The first three are metrics of the front doors of orbit.v1, with labels of their own.
var (
	connectionsDesc = prometheus.NewDesc("orbitd_connections", "Clients that are connected, by transport; STOMP over WebSocket is stomp.", nil, prometheus.Labels{"transport": "stomp"})
	messagesDesc    = prometheus.NewDesc("orbitd_delivered_messages_total", "Messages handed to the connections of clients, replayed ones included.", nil, prometheus.Labels{"protocol": "stomp"})
	bytesDesc       = prometheus.NewDesc("orbitd_delivered_bytes_total", "Bytes of these, framed.", nil, prometheus.Labels{"protocol": "stomp"})

	durableDesc     = prometheus.NewDesc("orbitd_stomp_durable_subscriptions", "Durable subscriptions of STOMP clients, by whether one is connected that has it.", []string{"state"}, nil)
	groupsDesc      = prometheus.NewDesc("orbitd_stomp_groups", "Groups of STOMP consumers, by whether one is connected.", []string{"state"}, nil)
	membersDesc     = prometheus.NewDesc("orbitd_stomp_group_members", "Connected consumers of groups.", nil, nil)
	unackedDesc     = prometheus.NewDesc("orbitd_stomp_unacknowledged_messages", "Messages that connected STOMP clients have still to acknowledge.", nil, nil)
	redeliveredDesc = prometheus.NewDesc("orbitd_stomp_redelivered_messages_total", "Messages that were marked redelivered.", nil, nil)
	deadDesc        = prometheus.NewDesc("orbitd_stomp_dead_messages_total", "Messages that were refused too often and moved to $dead.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		connectionsDesc, messagesDesc, bytesDesc, durableDesc, groupsDesc, membersDesc, unackedDesc, redeliveredDesc, deadDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What it tells is a tick old at most.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, t prometheus.ValueType, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		tell(d, prometheus.GaugeValue, uint64(n), labels...)
	}
	var c counts
	for _, p := range s.parts {
		p.tally.addTo(&c)
	}
	gauge(connectionsDesc, s.Len())
	tell(messagesDesc, prometheus.CounterValue, c.delivered)
	tell(bytesDesc, prometheus.CounterValue, c.bytes)
	k := s.Kept()
	gauge(durableDesc, k.DurableConnected, "connected")
	gauge(durableDesc, k.Durable-k.DurableConnected, "detached")
	gauge(groupsDesc, k.GroupsConnected, "connected")
	gauge(groupsDesc, k.Groups-k.GroupsConnected, "detached")
	gauge(membersDesc, k.Consumers)
	gauge(unackedDesc, c.unacked)
	tell(redeliveredDesc, prometheus.CounterValue, c.redelivered)
	tell(deadDesc, prometheus.CounterValue, c.dead)
}

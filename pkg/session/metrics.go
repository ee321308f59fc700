package session

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orbitd/orbitd/pkg/hub"
)

// counted is what a part has delivered, ever. Its loop owns it.
type counted struct{ messages, bytes uint64 }

func (c *counted) add(run hub.Run) {
	c.messages += uint64(len(run.Ends))
	c.bytes += uint64(len(run.Frames))
}

// A tally is what a part has counted, as of its last tick: the loop counts for itself,
// and nobody is in its way.
type tally struct{ messages, bytes, connected, detached, named atomic.Uint64 }

// publish is called by the loop at each tick.
func (p *Part) publish() {
	var connected, detached, named uint64
	for _, s := range p.sessions {
		if s.conn != nil {
			connected++
		} else {
			detached++
		}
		if s.owner.name != "" {
			named++
		}
	}
	p.tally.messages.Store(p.count.messages)
	p.tally.bytes.Store(p.count.bytes)
	p.tally.connected.Store(connected)
	p.tally.detached.Store(detached)
	p.tally.named.Store(named)
}

var _ prometheus.Collector = (*Manager)(nil)

var (
	sessionsDesc = prometheus.NewDesc("orbitd_sessions", "Sessions of orbit.v1 in memory, by whether their client is connected.", []string{"state"}, nil)
	namedDesc    = prometheus.NewDesc("orbitd_sessions_named", "Those of them that are durable.", nil, nil)
	refusedDesc  = prometheus.NewDesc("orbitd_sessions_refused_total", "Sessions that were not opened, by the key of [session] whose limit was reached.", []string{"limit"}, nil)
	messagesDesc = prometheus.NewDesc("orbitd_delivered_messages_total", "Messages handed to the connections of clients, replayed ones included.", nil, prometheus.Labels{"protocol": "orbit"})
	bytesDesc    = prometheus.NewDesc("orbitd_delivered_bytes_total", "Bytes of these, framed.", nil, prometheus.Labels{"protocol": "orbit"})
)

// Describe implements prometheus.Collector.
func (m *Manager) Describe(ch chan<- *prometheus.Desc) {
	ch <- sessionsDesc
	ch <- namedDesc
	ch <- refusedDesc
	ch <- messagesDesc
	ch <- bytesDesc
}

// Collect implements prometheus.Collector. What it tells is a tick old at most.
func (m *Manager) Collect(ch chan<- prometheus.Metric) {
	var messages, bytes, connected, detached, named uint64
	for _, p := range m.parts {
		messages += p.tally.messages.Load()
		bytes += p.tally.bytes.Load()
		connected += p.tally.connected.Load()
		detached += p.tally.detached.Load()
		named += p.tally.named.Load()
	}
	ch <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(connected), "connected")
	ch <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(detached), "detached")
	ch <- prometheus.MustNewConstMetric(namedDesc, prometheus.GaugeValue, float64(named))
	ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(m.refused.sessions.Load()), "max_sessions")
	ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(m.refused.named.Load()), "max_named")
	ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.CounterValue, float64(messages))
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(bytes))
}

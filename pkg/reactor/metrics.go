package reactor

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// A tally is what a loop has counted, as of its last tick: the loop counts for itself,
// and nobody is in its way.
type tally struct{ received, sent atomic.Uint64 }

// publish is called by the loop at each tick.
func (l *Loop) publish() {
	l.tally.received.Store(l.wire.received)
	l.tally.sent.Store(l.wire.sent)
}

var _ prometheus.Collector = (*Reactor)(nil)

var (
	parkedDesc   = prometheus.NewDesc("orbitd_parked_connections", "Connections on the event loops, also those that have not said yet what they want.", nil, nil)
	receivedDesc = prometheus.NewDesc("orbitd_received_bytes_total", "Bytes that the event loops have received, TLS included.", nil, nil)
	sentDesc     = prometheus.NewDesc("orbitd_sent_bytes_total", "Bytes that the event loops have sent, TLS included.", nil, nil)
)

// Describe implements prometheus.Collector.
func (r *Reactor) Describe(ch chan<- *prometheus.Desc) {
	ch <- parkedDesc
	ch <- receivedDesc
	ch <- sentDesc
}

// Collect implements prometheus.Collector. What it tells is a tick old at most.
func (r *Reactor) Collect(ch chan<- prometheus.Metric) {
	var received, sent uint64
	for _, l := range r.Loops() {
		received += l.tally.received.Load()
		sent += l.tally.sent.Load()
	}
	ch <- prometheus.MustNewConstMetric(parkedDesc, prometheus.GaugeValue, float64(r.Len()))
	ch <- prometheus.MustNewConstMetric(receivedDesc, prometheus.CounterValue, float64(received))
	ch <- prometheus.MustNewConstMetric(sentDesc, prometheus.CounterValue, float64(sent))
}

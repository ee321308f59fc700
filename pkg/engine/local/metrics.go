package local

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the sequencer counts.
type metrics struct {
	commits prometheus.Histogram // seconds
	batches prometheus.Histogram // messages
	failed  prometheus.Counter
}

func newMetrics() metrics {
	return metrics{
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "orbitd_commit_duration_seconds", Help: "How long a batch took to be written and synced.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16), // to 3.3 s
		}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "orbitd_commit_messages", Help: "How many messages shared one sync.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "orbitd_failed_commits_total", Help: "Batches that the log did not take.",
		}),
	}
}

func (m *metrics) commit(took time.Duration, messages int, err error) {
	if err != nil {
		m.failed.Inc()
		return
	}
	m.commits.Observe(took.Seconds())
	m.batches.Observe(float64(messages))
}

var _ prometheus.Collector = (*Engine)(nil)

var (
	refusingDesc = prometheus.NewDesc("orbitd_engine_refusing", "Whether publishes are refused, as on a full disk.", nil, nil)
	offsetDesc   = prometheus.NewDesc("orbitd_engine_offset", "The offset of the last visible message.", nil, nil)
	channelsDesc = prometheus.NewDesc("orbitd_channels", "Channels that the engine knows.", nil, nil)
	logDesc      = prometheus.NewDesc("orbitd_log_bytes", "What the segments of the log hold.", nil, nil)
	segmentsDesc = prometheus.NewDesc("orbitd_log_segments", "Segments of the log.", nil, nil)
	removedDesc  = prometheus.NewDesc("orbitd_log_removed_segments_total", "Segments that retention has removed.", nil, nil)
)

// Describe implements prometheus.Collector.
func (e *Engine) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{refusingDesc, offsetDesc, channelsDesc, logDesc, segmentsDesc, removedDesc} {
		ch <- d
	}
	for _, c := range e.metrics.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (e *Engine) Collect(ch chan<- prometheus.Metric) {
	e.mu.RLock()
	visible, channels := e.visible, len(e.channels)
	e.mu.RUnlock()
	refusing := 0.0
	if e.refused() != nil {
		refusing = 1
	}
	size := e.seg.Size()
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(refusingDesc, refusing)
	gauge(offsetDesc, float64(visible))
	gauge(channelsDesc, float64(channels))
	gauge(logDesc, float64(size.Bytes))
	gauge(segmentsDesc, float64(size.Segments))
	ch <- prometheus.MustNewConstMetric(removedDesc, prometheus.CounterValue, float64(size.Removed))
	for _, c := range e.metrics.all() {
		c.Collect(ch)
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.commits, m.batches, m.failed}
}

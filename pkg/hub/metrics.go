package hub

import "github.com/prometheus/client_golang/prometheus"

var _ prometheus.Collector = (*Hub)(nil)

var (
	subscriptionsDesc = prometheus.NewDesc("orbitd_subscriptions", "Subscriptions of clients that are connected.", nil, nil)
	laggingDesc       = prometheus.NewDesc("orbitd_subscriptions_lagging", "Those of them that catch up, or take nothing at the moment.", nil, nil)
	channelsDesc      = prometheus.NewDesc("orbitd_subscribed_channels", "Channels that somebody is subscribed to.", nil, nil)
)

// Describe implements prometheus.Collector.
func (h *Hub) Describe(ch chan<- *prometheus.Desc) {
	ch <- subscriptionsDesc
	ch <- laggingDesc
	ch <- channelsDesc
}

// Collect implements prometheus.Collector. What it tells is a tick old at most.
func (h *Hub) Collect(ch chan<- prometheus.Metric) {
	members := 0
	for _, s := range h.shards {
		members += int(s.members.Load())
	}
	ch <- prometheus.MustNewConstMetric(subscriptionsDesc, prometheus.GaugeValue, float64(members))
	ch <- prometheus.MustNewConstMetric(laggingDesc, prometheus.GaugeValue, float64(h.Lagging()))
	ch <- prometheus.MustNewConstMetric(channelsDesc, prometheus.GaugeValue, float64(h.channels()))
}

func (h *Hub) channels() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.interest)
}

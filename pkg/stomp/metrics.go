package stomp

import "github.com/prometheus/client_golang/prometheus"

var _ prometheus.Collector = (*Server)(nil)

// These are the metrics of the front doors of orbit.v1, with labels of their own.
var (
	connectionsDesc = prometheus.NewDesc("orbitd_connections", "Clients that are connected, by transport; STOMP over WebSocket is stomp.", nil, prometheus.Labels{"transport": "stomp"})
	messagesDesc    = prometheus.NewDesc("orbitd_delivered_messages_total", "Messages handed to the connections of clients, replayed ones included.", nil, prometheus.Labels{"protocol": "stomp"})
	bytesDesc       = prometheus.NewDesc("orbitd_delivered_bytes_total", "Bytes of these, framed.", nil, prometheus.Labels{"protocol": "stomp"})
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	ch <- connectionsDesc
	ch <- messagesDesc
	ch <- bytesDesc
}

// Collect implements prometheus.Collector. What it tells is a tick old at most.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	var messages, bytes uint64
	for _, p := range s.parts {
		messages += p.tally.delivered.Load()
		bytes += p.tally.bytes.Load()
	}
	ch <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(s.Len()))
	ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.CounterValue, float64(messages))
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(bytes))
}
